"""Checks of prompts against their answers."""

from pipelines.preflight.checks.evidence import Check
from pipelines.preflight.checks.pairing import boundary, other_rows, verbatim

CHECKS: tuple[Check, ...] = (*verbatim.CHECKS, *other_rows.CHECKS, *boundary.CHECKS)
