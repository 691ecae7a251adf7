"""A pair without a fault."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.planted_faults.families import Family
from tests.planted_faults.pair import Pair


@dataclass(frozen=True)
class CleanPair:
    """A pair about which there is nothing to say, and its family."""

    name: str
    family: Family
    pair: Callable[[], Pair]
