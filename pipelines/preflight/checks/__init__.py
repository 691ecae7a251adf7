"""The doctor's checks: each is a function that takes a `CheckContext` and yields `Finding`s.

To add a check:
1. Write `def my_check(context: CheckContext) -> Iterator[Finding]` in the module of its subject and yield
   `Finding(ID, Severity.WARNING, summary=..., why=..., remedy=...)`.
2. Append the function to `CHECKS` at the end of that module.
3. Add the id to the table in preflight/README.md, and an entry to tests/planted_faults/tables/.
"""

from pipelines.preflight.checks import (
    adapter,
    base_model,
    corpora,
    environment,
    other_trainer,
    pairing,
    preferences,
    recipe,
    schedule,
)
from pipelines.preflight.checks.answers import ANSWER_MODULES
from pipelines.preflight.checks.evidence import Check
from pipelines.preflight.checks.rows import (
    columns,
    leakage,
    repetition,
    swapped_columns,
    text,
    thoughts,
    tool_calls,
    trailing_turns,
    unread_text,
)
from pipelines.preflight.checks.tokens import (
    answer_text,
    labels,
    length,
    repeated_turns,
    special_tokens,
    template,
    template_family,
    tokenizer_of_model,
    untrained_marks,
)

_MODULES = (
    template,
    template_family,
    labels,
    special_tokens,
    untrained_marks,
    length,
    leakage,
    repetition,
    columns,
    swapped_columns,
    text,
    trailing_turns,
    unread_text,
    pairing,
    preferences,
    corpora,
    answer_text,
    repeated_turns,
    thoughts,
    tool_calls,
    tokenizer_of_model,
    adapter,
    base_model,
    schedule,
    recipe,
    environment,
    other_trainer,
    *ANSWER_MODULES,
)
CHECKS: tuple[Check, ...] = tuple(check for module in _MODULES for check in module.CHECKS)
