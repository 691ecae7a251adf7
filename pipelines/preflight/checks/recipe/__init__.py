"""Checks of the recipe's keys against each other and against the number of rows."""

from pipelines.preflight.checks.evidence import Check
from pipelines.preflight.checks.recipe import evaluation, order, packages, run_length, usual_values

CHECKS: tuple[Check, ...] = (
    *run_length.CHECKS,
    *evaluation.CHECKS,
    *usual_values.CHECKS,
    *packages.CHECKS,
    *order.CHECKS,
)
