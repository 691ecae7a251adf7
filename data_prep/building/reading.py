"""First pass: read and clean units in all processes, and write the rows as shards."""

import gc
import json
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from typing import IO

from data_prep.building.cleaner import ChangedRow, Cleaner
from data_prep.building.flags import all_cores
from data_prep.building.job import Job, Shard, UnitResult
from data_prep.building.process_pool import process_pool
from data_prep.building.progress import bytes_of
from data_prep.building.shards import write_bands, write_shard
from data_prep.cleaning.decontamination import HeldOutRows
from data_prep.cleaning.row_texts import RowText
from data_prep.dataset_folder import RejectedRow
from data_prep.sources import ReadCounts, SourceRow, Unit, read_unit

_ROWS_OF_A_SHARD = 4000
_CHARS_OF_A_SHARD = 16 << 20
_UNITS_WAITING = 3  # for each process: results are taken in order, so that some wait

CleanRow = tuple[SourceRow, list[RowText]]
_ALLOCATIONS_OF_A_COLLECTION = 100_000  # rows hold no cycles: with 700 the collector takes a twentieth of the time
_BYTES_FOR_PROCESSES = 4 << 20  # with less to read, starting processes takes longer than they save

NumberedUnit = tuple[int, int, Unit]  # number of the unit, number of its source, unit


class UnitReader:
    """Reads units in one process."""

    def __init__(self, job: Job) -> None:
        gc.set_threshold(_ALLOCATIONS_OF_A_COLLECTION)
        self._job, self._cleaner = job, Cleaner(job.steps)
        self._held_out = None if job.held_out is None else HeldOutRows(job.held_out)

    def read(self, unit: NumberedUnit) -> UnitResult:
        """Read, clean and write the rows of one unit."""
        number, source, part = unit
        result, counts = UnitResult(source), ReadCounts()
        waiting: list[CleanRow] = []
        n_chars = 0
        folder = self._job.folder
        with (
            (folder / f"{number:06}.rejected").open("w") as rejected,
            (folder / f"{number:06}.changed").open("w") as changed,
        ):
            for item in read_unit(part, self._job.read[source], counts):
                clean = self._cleaned(item, result, rejected, changed)
                if clean is not None:
                    waiting.append(clean)
                    n_chars += sum([len(one.text) for one in clean[1]])
                    if len(waiting) >= _ROWS_OF_A_SHARD or n_chars >= _CHARS_OF_A_SHARD:
                        result.shards.append(self._write(number, source, len(result.shards), waiting))
                        waiting, n_chars = [], 0
            if waiting:
                result.shards.append(self._write(number, source, len(result.shards), waiting))
        result.n_read, result.n_bytes, result.unread = counts.n_rows, bytes_of(part), counts.unread
        return result

    def _cleaned(
        self, item: SourceRow | RejectedRow, result: UnitResult, rejected: IO[str], changed: IO[str]
    ) -> CleanRow | None:
        changes: list[ChangedRow] = []
        texts: list[RowText] = []
        if isinstance(item, SourceRow):
            item, changes, texts = self._cleaner.clean(item)
        if isinstance(item, RejectedRow):
            rejected.write(json.dumps(item.to_json(), ensure_ascii=False) + "\n")
            result.n_rejected[item.details.get("step", ""), item.reason] += 1
            return None
        for one in changes:
            changed.write(json.dumps(one.to_json(item), ensure_ascii=False) + "\n")
            result.n_changed.update({(one.step, what): n for what, n in one.counts.items()})
        return item, texts

    def _write(self, unit: int, source: int, number: int, cleaned: Sequence[CleanRow]) -> Shard:
        name = f"{unit:06}-{number:04}"
        rows = [row for row, _ in cleaned]
        overlaps = [self._held_out is not None and self._held_out.overlaps(row) for row in rows]
        step = self._job.step("near_duplicates")
        if step and not self._job.has_clusters:
            write_bands(self._job.folder, name, [texts for _, texts in cleaned], step.options)
        return write_shard(self._job.folder, name, source, rows, overlaps, self._job.seed)


def read_units(units: Iterable[NumberedUnit], job: Job, num_proc: int | None) -> Generator[UnitResult]:
    """Yield the result of each unit in order; `units` may be planned while others are read.

    With None, small sources are read in this process, others by all cores. Raises `UserError` if a process dies. The
    processes end at once if an error is raised, or if the generator is closed before its end.
    """
    remaining = iter(units)
    first = list(islice(remaining, 2))
    n_bytes = sum(bytes_of(unit) for _, _, unit in first)
    while num_proc is None and n_bytes < _BYTES_FOR_PROCESSES and (more := list(islice(remaining, 1))):
        first += more
        n_bytes += bytes_of(more[0][2])
    if num_proc is None:
        num_proc = all_cores() if n_bytes >= _BYTES_FOR_PROCESSES else 1
    if num_proc == 1 or len(first) < 2:
        reader = UnitReader(job)
        yield from map(reader.read, chain(first, remaining))
        return
    with process_pool(num_proc, _start, job) as pool:
        yield from _in_order(pool, chain(first, remaining), num_proc * _UNITS_WAITING)


def _in_order(pool: ProcessPoolExecutor, units: Iterator[NumberedUnit], n_waiting: int) -> Iterator[UnitResult]:
    waiting: deque[Future[UnitResult]] = deque(pool.submit(_read, unit) for unit in islice(units, n_waiting))
    while waiting:
        result = waiting.popleft().result()
        waiting.extend(pool.submit(_read, unit) for unit in islice(units, 1))
        yield result


_reader: UnitReader | None = None


def _start(job: Job) -> None:
    """Set up one process of the pool."""
    global _reader
    _reader = UnitReader(job)


def _read(unit: NumberedUnit) -> UnitResult:
    assert _reader is not None
    return _reader.read(unit)
