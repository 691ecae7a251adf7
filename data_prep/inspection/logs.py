"""Read rejected.jsonl and changed.jsonl as streams: counts, a few examples of each reason, pairs of near duplicates."""

import heapq
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.dataset_folder.excerpts import RowExcerpt, row_excerpts
from data_prep.dataset_folder.schema import CHANGED_NAME, REJECTED_NAME
from data_prep.inspection.sampling import Sample
from data_prep.inspection.word_diff import Piece, word_diff
from pipelines.errors import UserError
from pipelines.files.visible_text import one_line

N_EXAMPLES = 3
_N_LEAST_SIMILAR = 5
CHANGE_EXCERPT_CHARS = 200  # length of an excerpt in changed.jsonl that is cut
MAX_NAME = 120  # characters of a source, reason or step
_NOT_DETAILS = ("source", "source_row", "reason", "step", "row", "kept", "similarity")

Line = Mapping[str, Any]
RowName = tuple[str, str]  # source and source_row


@dataclass(frozen=True)
class RejectedExample:
    """A row that was left out: its place, details of the reason, and its texts where they were recorded."""

    place: str
    details: str
    texts: list[RowExcerpt]


@dataclass(frozen=True)
class Reason:
    """The rows left out for one reason."""

    reason: str
    step: str
    n_rows: int
    by_source: Mapping[str, int]
    examples: list[RejectedExample]


@dataclass(frozen=True)
class DuplicatePair:
    """A near duplicate that was left out, and the name of the row that was kept instead."""

    similarity: float
    place: str
    row: Mapping[str, Any] | None
    kept: RowName


@dataclass
class RejectedLog:
    """What rejected.jsonl says. `pairs` are the least similar ones and a sample of the others."""

    n_lines: int = 0
    reasons: list[Reason] = field(default_factory=list)
    pairs: list[DuplicatePair] = field(default_factory=list)
    by_source: dict[str, Counter[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class ChangeExample:
    """An excerpt of a text before and after a step, word by word."""

    place: str
    pieces: list[Piece]


@dataclass(frozen=True)
class Change:
    """What one step changed: how often, in how many rows. A secret change has no excerpt."""

    step: str
    counts: Mapping[str, int]
    n_rows: int
    examples: list[ChangeExample]


def place_of(line: Line) -> str:
    """Return where a row comes from: its source and its row there."""
    return name_of(f"{line.get('source')}, row {line.get('source_row')}")


def name_of(value: Any) -> str:
    """Return a source, reason or step on one line, cut to a length."""
    return one_line(str(value), MAX_NAME)


def read_rejected(folder: Path, seed: int, n_examples: int = N_EXAMPLES) -> RejectedLog:
    """Return counts, examples and pairs of a folder's rejected.jsonl; nothing if it has none."""
    log = RejectedLog()
    examples: dict[tuple[str, str], Sample[Line]] = {}
    counts: dict[tuple[str, str], Counter[str]] = {}
    pairs = _Pairs(seed, n_examples)
    for line in _lines(folder / REJECTED_NAME):
        log.n_lines += 1
        reason, source = name_of(line.get("reason")), name_of(line.get("source"))
        key = (reason, name_of(line.get("step", "")))
        counts.setdefault(key, Counter())[source] += 1
        log.by_source.setdefault(source, Counter())[reason] += 1
        if key not in examples:
            examples[key] = Sample(n_examples, seed, "\0".join(key))
        examples[key].add(line)
        pairs.add(line)
    log.reasons = [
        Reason(
            *key, found.total(), dict(found.most_common()), [_rejected_example(one) for one in examples[key].items()]
        )
        for key, found in sorted(counts.items(), key=lambda item: (-item[1].total(), item[0]))
    ]
    log.pairs = pairs.chosen()
    return log


class _Pairs:
    """The least similar pairs, where an error is most likely, and a sample of all others."""

    def __init__(self, seed: int, n_others: int) -> None:
        self._least: list[tuple[float, int, Line]] = []  # a heap by -similarity: the most similar is replaced first
        self._others: Sample[Line] = Sample(n_others, seed, "pairs")
        self._n_lines = 0

    def add(self, line: Line) -> None:
        if not isinstance(line.get("kept"), Mapping) or not isinstance(line.get("similarity"), int | float):
            return
        self._n_lines += 1
        entry = (-float(line["similarity"]), -self._n_lines, line)
        if len(self._least) < _N_LEAST_SIMILAR:
            heapq.heappush(self._least, entry)
        else:
            self._others.add(heapq.heappushpop(self._least, entry)[2])

    def chosen(self) -> list[DuplicatePair]:
        lines = [line for *_, line in sorted(self._least, key=lambda entry: (-entry[0], -entry[1]))]
        return [
            DuplicatePair(
                float(line["similarity"]),
                place_of(line),
                line.get("row"),
                (str(line["kept"].get("source")), str(line["kept"].get("source_row"))),
            )
            for line in [*lines, *self._others.items()]
        ]


def read_changed(folder: Path, seed: int, n_examples: int = N_EXAMPLES) -> list[Change]:
    """Return what each step changed, with examples; nothing if the folder has no changed.jsonl."""
    n_rows: Counter[str] = Counter()
    counts: dict[str, Counter[str]] = {}
    examples: dict[str, Sample[Line]] = {}
    for line in _lines(folder / CHANGED_NAME):
        step = name_of(line.get("step"))
        n_rows[step] += 1
        counts.setdefault(step, Counter()).update({name_of(what): n for what, n in (line.get("counts") or {}).items()})
        sample = examples.setdefault(step, Sample(n_examples, seed, step))
        if isinstance(line.get("before"), str) and isinstance(line.get("after"), str):
            sample.add(line)
    return [
        Change(step, dict(counts[step].most_common()), n, [_change_example(one) for one in examples[step].items()])
        for step, n in n_rows.most_common()
    ]


def _rejected_example(line: Line) -> RejectedExample:
    details = {name: value for name, value in line.items() if name not in _NOT_DETAILS}
    shown = "; ".join(f"{name}: {value}" for name, value in details.items())
    row = line.get("row")
    return RejectedExample(place_of(line), name_of(shown), row_excerpts(row) if row else [])


def _change_example(line: Line) -> ChangeExample:
    pieces = word_diff(line["before"], line["after"])
    same = [place for place, piece in enumerate(pieces) if piece.kind == "same"]
    is_cut = max(len(line["before"]), len(line["after"])) >= CHANGE_EXCERPT_CHARS
    if is_cut and same and any(piece.kind != "same" for piece in pieces[: same[-1]]):
        pieces = pieces[: same[-1] + 1]  # two excerpts of equal length end in different places
    return ChangeExample(place_of(line), pieces)


def _lines(path: Path) -> Iterator[Line]:
    """Yield the objects of a JSON-lines file without reading it whole."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            try:
                line = json.loads(text)
            except ValueError as error:
                problem = f"{path} is not valid JSON on line {number}"
                raise UserError(problem, "build the dataset folder again") from error
            if not isinstance(line, dict):
                problem = f"line {number} of {path} is not an object"
                raise UserError(problem, "build the dataset folder again")
            yield line
