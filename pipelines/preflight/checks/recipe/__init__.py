"""Checks of the recipe's keys against each other and against the number of rows."""

from pipelines.preflight.checks.evidence import Check
from pipelines.preflight.checks.recipe import evaluation, run_length

CHECKS: tuple[Check, ...] = (*run_length.CHECKS, *evaluation.CHECKS)
