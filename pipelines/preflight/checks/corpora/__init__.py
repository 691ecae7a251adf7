"""Checks of documents for pretraining."""

from pipelines.preflight.checks.corpora import boilerplate, near_copies
from pipelines.preflight.checks.evidence import Check

CHECKS: tuple[Check, ...] = (*boilerplate.CHECKS, *near_copies.CHECKS)
