"""Checks of preference pairs."""

from pipelines.preflight.checks.evidence import Check
from pipelines.preflight.checks.preferences import contrast, length_bias, scores

CHECKS: tuple[Check, ...] = (*length_bias.CHECKS, *scores.CHECKS, *contrast.CHECKS)
