"""The doctor's checks: small functions from a case to findings, in the order in which they are told."""

from pipelines.diagnosis.checks import (
    adapter,
    base_model,
    columns,
    environment,
    labels,
    leakage,
    length,
    mojibake,
    repetition,
    running_on,
    schedule,
    special_tokens,
    swapped,
    template,
    text,
)
from pipelines.diagnosis.checks.kind import Check

_MODULES = (
    template, labels, special_tokens, length, leakage, repetition, columns, swapped, text, mojibake, running_on,
    adapter, base_model, schedule, environment,
)  # fmt: skip
CHECKS: tuple[Check, ...] = tuple(check for module in _MODULES for check in module.CHECKS)

__all__ = ["CHECKS", "Check"]
