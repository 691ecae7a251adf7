"""Ways to do the same work, which take turns: wall and CPU seconds of each round."""

import os
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import psutil


@dataclass
class Way:
    """One way, what it returned last, and the seconds of each round, with those of a `server` that works for it."""

    name: str
    work: Callable[[], Any]
    server: psutil.Process | None = None
    found: Any = None
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Do the work once."""
        begin = time.perf_counter(), self._cpu_seconds()
        self.found = self.work()
        self.wall.append(time.perf_counter() - begin[0])
        self.cpu.append(self._cpu_seconds() - begin[1])

    @property
    def seconds(self) -> tuple[float, float]:
        """Medians of wall and CPU time."""
        return statistics.median(self.wall), statistics.median(self.cpu)

    def _cpu_seconds(self) -> float:
        times = self.server.cpu_times() if self.server else None
        return sum(os.times()[:4]) + (times.user + times.system if times else 0.0)


def in_turns(ways: Iterable[Way], n_rounds: int) -> None:
    """Run each way `n_rounds` times, a round of all before the next."""
    ways = list(ways)
    for _ in range(n_rounds):
        for way in ways:
            way.run()
