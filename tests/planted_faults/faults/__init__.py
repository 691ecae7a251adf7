"""The planted faults of faults.yaml; a pair that is more than other keys is a function of a module here."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipelines.records.finding import Severity
from tests.planted_faults.families import Family
from tests.planted_faults.pair import Pair
from tests.planted_faults.sample_rows import rows_in


@dataclass(frozen=True)
class PlantedFault:
    """One fault in a pair that is clean otherwise, and the finding that must report it; see faults.yaml."""

    id: str
    name: str
    family: Family
    severity: Severity
    pair: Callable[[], Pair]
    also: Mapping[str, str] = field(default_factory=dict)
    trl_says: str | None = None
    trl_cannot: str | None = None


def _fault(family: str, severity: str, pair: str | None = None, **facts: Any) -> PlantedFault:
    if pair is None:
        parts = {key: facts.pop(key) for key in ("keys", "folder_share") if key in facts}
        return PlantedFault(
            family=Family(family), severity=Severity(severity), pair=lambda: Pair(rows_in("english"), **parts), **facts
        )
    module, _, function = pair.partition(".")
    made = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    return PlantedFault(family=Family(family), severity=Severity(severity), pair=made, **facts)


_TABLE = Path(__file__).parents[1] / "faults.yaml"
FAULTS = tuple(_fault(**facts) for facts in yaml.safe_load(_TABLE.read_text(encoding="utf-8")))
