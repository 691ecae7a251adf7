"""A measurement after a run: facts for run.json, a line for the terminal, findings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.records.finding import Finding


@dataclass(frozen=True)
class Measurement:
    """One result. `facts` are JSON; if nothing could be measured they are `{"reason": ...}`."""

    facts: Mapping[str, Any]
    line: str
    findings: tuple[Finding, ...] = ()


def not_measured(what: str, reason: str) -> Measurement:
    """A result without figures, and the reason."""
    return Measurement({"reason": reason}, f"{what}: not measured, {reason}")


def rounded(value: float) -> float:
    """`value` with six significant digits."""
    return float(f"{value:.6g}")
