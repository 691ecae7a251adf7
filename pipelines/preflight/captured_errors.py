"""Errors that would stop a run, as findings: the doctor continues and reports all problems at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pipelines.errors import UserError
from pipelines.recipe.parsing import FaultKind, RecipeFault
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

T = TypeVar("T")

_WHY = {
    "END_TOKEN_NOT_TRAINED": "a model that is never trained on the end of an answer never stops",
    "END_TOKEN_MISMATCH": "the model learns one end token and generation stops at another, so answers do not end",
    "TEMPLATE_DROPS_TEXT": "the model is trained without text that every row contains",
    "TRAINING_PROMPT_NOT_SERVED": "the model is served with other prompts than it was trained on",
    "TOKEN_IDS_DISAGREE": "torch refuses a padding row outside the table of embeddings, so the base cannot be loaded",
    "TEMPLATE_DROPS_TOOLS": "the model would learn to call tools that its prompt does not show",
    "PACKING_CONTAMINATES": "packed examples that attend to each other teach answers to other rows' questions",
    "TRAINING_IMPOSSIBLE": "the run stops before step 1, or at its first evaluation or save",
    "ROW_TOO_LONG": "long_rows: error stops the run at the first row that is too long",
}
_KEY_ERRORS = {
    FaultKind.RENAMED: ("RENAMED_KEY", "an old name", "the run stops at a renamed key"),
    FaultKind.UNKNOWN: ("UNKNOWN_KEY", "an unknown name", "the run stops at a key that no program reads"),
}


class CapturedErrors:
    """Findings made from `UserError`s that have a finding id, one for each id. Other errors are raised."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def call(self, make: Callable[[], T]) -> T | None:
        """Return what `make` returns, None if it raised an error that is now a finding."""
        try:
            return make()
        except UserError as error:
            self.add(error)
            return None

    def add(self, error: UserError) -> None:
        """Keep `error` as a finding. Raises it if it has no finding id."""
        if error.finding is None:
            raise error
        if error.finding not in {finding.id for finding in self.findings}:
            why = _WHY[error.finding]
            self.findings.append(Finding(error.finding, Severity.ERROR, error.problem, why, error.fix or ""))

    def set_fix(self, finding_id: str, fix: Mapping[str, Any]) -> None:
        """Give the finding with this id, if there is one, the recipe keys that fix it."""
        self.findings = [replace(one, fix=fix) if one.id == finding_id else one for one in self.findings]


def config_findings(faults: Sequence[RecipeFault]) -> list[Finding]:
    """RENAMED_KEY and UNKNOWN_KEY, each once for all keys."""
    findings = []
    for kind, (finding_id, what, why) in _KEY_ERRORS.items():
        found = [fault for fault in faults if fault.kind is kind]
        if found:
            keys = "1 key has" if len(found) == 1 else f"{len(found)} keys have"
            findings.append(
                Finding(
                    finding_id,
                    Severity.ERROR,
                    summary=f"{keys} {what}: " + ", ".join(f"`{fault.key}`" for fault in found),
                    why=f"{why}; other programs ignore it silently",
                    remedy="; ".join(_remedy(fault) for fault in found),
                    evidence=tuple(Evidence(fault.error.problem) for fault in found[:MAX_EVIDENCE]),
                    fix={key: value for fault in found for key, value in fault.fix.items()},
                )
            )
    return findings


def _remedy(fault: RecipeFault) -> str:
    """The fix of the error, with the key where the fix does not name it."""
    fix = fault.error.fix or ""
    return fix if fault.kind is FaultKind.RENAMED else f"`{fault.key}`: {fix}"
