"""Say on stderr how far a build is: rows, rows per second, time left."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_prep.sources import SourcePlan, Unit

_SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Counts rows and the bytes of the units read; prints a line every 30 seconds, or a bar on a terminal."""

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes, self._n_rows, self._done_bytes = n_bytes, 0, 0
        self._start = self._last = time.monotonic()

    def add(self, n_rows: int, n_bytes: int) -> None:
        """Count the rows and bytes of a unit that is done."""
        self._n_rows += n_rows
        self._done_bytes += n_bytes
        now = time.monotonic()
        if now - self._last >= (0.5 if sys.stderr.isatty() else _SECONDS_BETWEEN_LINES):
            self._last = now
            self._print(now - self._start)

    def _print(self, seconds: float) -> None:
        line = f"read {self._n_rows:,} rows, {self._n_rows / seconds:,.0f} rows/s"
        if 0 < self._done_bytes <= self._n_bytes:
            left = seconds * (self._n_bytes / self._done_bytes - 1)
            line += f", {self._done_bytes / self._n_bytes:.0%}, about {_duration(left)} left"
        end = "\r" if sys.stderr.isatty() else "\n"
        print(f"{line:<79}", end=end, file=sys.stderr, flush=True)


@contextmanager
def stage(name: str, n_rows: int) -> Iterator[None]:
    """Print the name of a later pass if there are enough rows to wait for."""
    if n_rows >= 100_000:
        print(f"{name:<79}", file=sys.stderr, flush=True)
    yield


def bytes_of_source(plan: SourcePlan) -> int:
    """Return the size of a source that is one file; 0 if it is not known without a walk."""
    path = Path(plan.entry.get("path", ""))
    return path.stat().st_size if path.is_file() else 0


def bytes_of(unit: Unit) -> int:
    """Return the bytes of its files that a unit reads; for some row groups of Parquet, all of the file's."""
    if unit.stop is not None and unit.format == "jsonl":
        return unit.stop - unit.start * (unit.format == "jsonl")
    return sum(file.stat().st_size for file in unit.files if file.is_file()) - unit.start


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes >= 2 else f"{seconds:.0f} s"
