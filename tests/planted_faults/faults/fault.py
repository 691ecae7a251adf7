"""What a planted fault is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipelines.records.finding import Severity
from tests.planted_faults.families import Family
from tests.planted_faults.pair import Pair

ERROR, WARNING = Severity.ERROR, Severity.WARNING


@dataclass(frozen=True)
class PlantedFault:
    """One fault in a pair that is clean otherwise, and what must be said of it.

    `also` are ids that the fault entails by its nature, each with the reason. For the comparison with `trl sft`:
    `trl_says` matches the lines of its output that name this fault, `trl_cannot` is why it cannot be given the pair.
    """

    id: str
    name: str
    family: Family
    severity: Severity
    pair: Callable[[], Pair]
    also: Mapping[str, str] = field(default_factory=dict)
    trl_says: str | None = None
    trl_cannot: str | None = None
