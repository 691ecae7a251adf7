"""The doctor's checks: small functions from a case to findings, in the order in which they are told."""

from pipelines.preflight.checks import adapter, base_model, environment, schedule
from pipelines.preflight.checks.kind import Check
from pipelines.preflight.checks.rows import (
    columns,
    leakage,
    mojibake,
    repetition,
    swapped_columns,
    text,
    trailing_turns,
)
from pipelines.preflight.checks.tokens import labels, length, special_tokens, template

_MODULES = (
    template, labels, special_tokens, length, leakage, repetition, columns, swapped_columns, text, mojibake,
    trailing_turns, adapter, base_model, schedule, environment,
)  # fmt: skip
CHECKS: tuple[Check, ...] = tuple(check for module in _MODULES for check in module.CHECKS)
