"""One thing that is looked at after a run: facts for run.json, a line for the terminal, findings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.records.finding import Finding


@dataclass(frozen=True)
class Measurement:
    """What was seen. `facts` are JSON; where nothing could be measured they are `{"reason": ...}`."""

    facts: Mapping[str, Any]
    line: str
    findings: tuple[Finding, ...] = ()


def not_measured(what: str, reason: str) -> Measurement:
    """A part that says why there are no figures."""
    return Measurement({"reason": reason}, f"{what}: not measured, {reason}")


def rounded(value: float) -> float:
    """`value` with six digits that count: what a record needs."""
    return float(f"{value:.6g}")
