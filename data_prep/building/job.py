"""What every process of a build knows, and what each returns about the units it has read."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.cleaning.registry import ChosenStep
from data_prep.sources import ReadOptions


@dataclass(frozen=True)
class Job:
    """The build as the processes that read see it. `folder` is where they write; `held_out` see decontamination.

    With `has_clusters`, datatrove's MinHash finds candidates for near duplicates; see `Shards.clusters`.
    """

    read: tuple[ReadOptions, ...]  # of each source
    steps: tuple[ChosenStep, ...]
    seed: int
    folder: Path
    held_out: Path | None = None
    has_clusters: bool = False

    def step(self, name: str) -> ChosenStep | None:
        """Return the chosen step of that name, None if it is off."""
        return next((step for step in self.steps if step.name == name), None)


@dataclass(frozen=True)
class Shard:
    """Rows that one process wrote together: `FOLDER/NAME.arrow`, and `NAME.npy` with numbers about each row."""

    name: str
    source: int
    n_rows: int
    columns: tuple[str, ...]
    nested: frozenset[str]
    all_messages: bool  # every row is a conversation or a pair of messages


@dataclass
class UnitResult:
    """What reading one unit gave."""

    source: int
    shards: list[Shard] = field(default_factory=list)
    n_read: int = 0
    n_bytes: int = 0
    n_rejected: Counter[tuple[str, str]] = field(default_factory=Counter)  # (step or "", reason)
    n_changed: Counter[tuple[str, str]] = field(default_factory=Counter)  # (step, what)
    unread: Counter[str] = field(default_factory=Counter)
