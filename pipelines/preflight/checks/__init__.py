"""The doctor's checks: each is a function that takes a `CheckContext` and yields `Finding`s.

To add a check:
1. Write `def my_check(context: CheckContext) -> Iterator[Finding]` in the module of its subject and yield
   `Finding(ID, Severity.WARNING, summary=..., why=..., remedy=...)`.
2. Append the function to `CHECKS` at the end of that module. A new module goes into `_MODULES` below.
3. Add the id to the table in preflight/README.md, and an entry to tests/planted_faults/tables/.
"""

from importlib import import_module

from pipelines.preflight.checks.evidence import Check

_MODULES = (
    "tokens.template", "tokens.template_family", "tokens.labels", "tokens.special_tokens", "tokens.untrained_marks",
    "tokens.length", "rows.leakage", "rows.repetition", "rows.columns", "rows.swapped_columns", "rows.text",
    "rows.trailing_turns", "rows.unread_text", "pairing.verbatim", "pairing.other_rows", "pairing.boundary",
    "preferences.length_bias", "preferences.scores", "preferences.contrast", "corpora.boilerplate",
    "corpora.near_copies", "tokens.answer_text", "tokens.repeated_turns", "rows.thoughts", "rows.tool_calls",
    "tokens.tokenizer_of_model", "adapter", "base_model", "schedule", "recipe.run_length", "recipe.evaluation",
    "recipe.usual_values", "recipe.packages", "recipe.order", "environment", "devices", "other_trainer",
    "answers.markup", "answers.structured", "answers.not_text", "answers.canned", "answers.cut_answers",
    "answers.privacy",
)  # fmt: skip


def checks_of(folder: str = "") -> tuple[Check, ...]:
    """The checks of the modules of a folder such as `pairing`, in their order; all without one."""
    modules = [import_module(f"{__name__}.{name}") for name in _MODULES if name.startswith(folder)]
    return tuple(check for module in modules for check in module.CHECKS)


CHECKS = checks_of()
