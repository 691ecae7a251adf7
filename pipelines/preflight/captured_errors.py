"""What a run itself would refuse, as findings: the doctor goes on where the run would stop, to tell all at once."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pipelines.errors import UserError
from pipelines.records.finding import Evidence, Finding, Severity

T = TypeVar("T")

_WHY = {
    "END_TOKEN_NOT_TRAINED": "a model that never sees where an answer ends never stops",
    "END_TOKEN_MISMATCH": "the model learns one end token and is stopped at another, so its answers run on",
    "TEMPLATE_DROPS_TEXT": "the model is trained without text that every row has, and nobody is told",
    "TRAINING_PROMPT_NOT_SERVED": "a prompt that is served otherwise than it was trained puts the model where it never "
    "was",
    "TEMPLATE_DROPS_TOOLS": "the model would learn calls to tools that it was never shown",
    "PACKING_CONTAMINATES": "packed examples that see each other teach answers to other rows' questions",
    "ROW_TOO_LONG": "the recipe asks to stop at the first row that does not fit (long_rows: error)",
}


class CapturedErrors:
    """Findings out of the `UserError`s that name one; each id once. Other errors are raised on."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def attempt(self, make: Callable[[], T]) -> T | None:
        """What `make` returns, None where it refused with a finding."""
        try:
            return make()
        except UserError as error:
            self.note(error)
            return None

    def note(self, error: UserError) -> None:
        """Keep `error` as a finding; raise it where it names none."""
        if error.finding is None:
            raise error
        if error.finding not in {finding.id for finding in self.findings}:
            self.findings.append(
                Finding(
                    error.finding,
                    Severity.ERROR,
                    summary=f"expected {error.expected}",
                    why=_WHY[error.finding],
                    remedy=error.remedy,
                    evidence=(Evidence(f"got {error.got}"),),
                )
            )

    def mend(self, finding_id: str, fix: Mapping[str, Any]) -> None:
        """Give the finding of that id, if there is one, the keys that certainly mend it."""
        self.findings = [replace(one, fix=fix) if one.id == finding_id else one for one in self.findings]
