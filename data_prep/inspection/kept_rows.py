"""Scan the kept rows once: lengths, first words, repeats, groups, sources. Memory is some 40 bytes for each row."""

import json
import random
import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.dataset_folder.batches import iter_splits, rows_at
from data_prep.dataset_folder.lengths import TURNS, LengthCounts, texts_by_role
from data_prep.dataset_folder.schema import PROVENANCE_COLUMNS, SPLITS

if TYPE_CHECKING:
    from numpy import ndarray

Row = Mapping[str, Any]
RowName = tuple[str, str]

N_SAMPLED = 1_000
N_LARGEST = 8
TEXT_COLUMNS = ("instruction", "input", "output", "messages", "prompt", "chosen", "rejected", "text")
ANSWER_ROLES = ("answer", "chosen", "document")
_N_FIRST_WORDS = 2
_MAX_OPENINGS = 100_000
_OPENING_CHARACTERS, _SAMPLED_CHARACTERS = 200, 2_000
_COPY = re.compile(r"#[2-9]\d*$|#1\d+$")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@dataclass
class KeptRows:
    """The facts of all kept rows. `questions`, `answers` and `groups` are hashes, one for each row in order."""

    n_rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    characters: LengthCounts = field(default_factory=LengthCounts)
    words: LengthCounts = field(default_factory=LengthCounts)
    openings: Counter[str] = field(default_factory=Counter)
    by_source: Counter[str] = field(default_factory=Counter)
    n_empty_answers: int = 0
    n_copies: int = 0  # that a mixture made by its weights
    sampled: list[tuple[str, str]] = field(default_factory=list)  # place and answer
    wanted: dict[RowName, dict[str, Any]] = field(default_factory=dict)
    questions: "array[int]" = field(default_factory=lambda: array("Q"))
    answers: "array[int]" = field(default_factory=lambda: array("Q"))
    groups: "array[int]" = field(default_factory=lambda: array("Q"))

    @property
    def n_all(self) -> int:
        """The number of rows in all splits."""
        return sum(self.n_rows.values())

    def split_bounds(self) -> Iterator[tuple[str, int, int]]:
        """Yield each split that has rows with the positions where its rows begin and end."""
        begin = 0
        for split, n_rows in self.n_rows.items():
            if n_rows:
                yield split, begin, begin + n_rows
            begin += n_rows


def scan_kept_rows(folder: Path, n_expected: int, seed: int, wanted: Collection[RowName] = ()) -> KeptRows:
    """Return the facts of the rows of `folder`, a seeded sample of answers, and the rows named by `wanted`."""
    found = KeptRows()
    n_sampled = min(N_SAMPLED, n_expected)
    sampled = set(random.Random(seed).sample(range(n_expected), n_sampled))
    names, position = set(wanted), 0
    for split, rows in iter_splits(folder, (*TEXT_COLUMNS, *PROVENANCE_COLUMNS)):
        found.n_rows[split] += len(rows)
        for row in rows:
            name = (row["source"], row["source_row"])
            _add(found, row, name if position in sampled else None)
            if name in names:
                found.wanted[name] = row
            position += 1
    return found


def _add(found: KeptRows, row: Row, sampled_as: RowName | None) -> None:
    """Count a row; `sampled_as` is its name if it is in the sample."""
    said: dict[str, list[str]] = {}
    calls = [json.dumps(one["tool_calls"]) for one in row.get("messages") or () if one.get("tool_calls")]
    for role, text in texts_by_role(row):
        said.setdefault(role, []).append(text)
        found.characters.add(role, len(text))
        found.words.add(role, len(text.split()))
    if row.get("messages"):
        found.characters.add(TURNS, len(row["messages"]))
        found.words.add(TURNS, len(row["messages"]))
    answers = next((said[role] for role in ANSWER_ROLES if role in said), [""])
    questions = said.get("question", [""])
    found.by_source[row["source"]] += 1
    found.n_empty_answers += not (answers[-1].strip() or calls)
    found.n_copies += _COPY.search(row["source_row"]) is not None
    found.openings[_opening(questions[0])] += 1
    if len(found.openings) > 2 * _MAX_OPENINGS:
        found.openings = Counter(dict(found.openings.most_common(_MAX_OPENINGS)))
    found.questions.append(_hash(questions))
    found.answers.append(_hash([*answers, *calls]))
    found.groups.append(_hash([row["group"]]))
    if sampled_as is not None:
        found.sampled.append((f"{sampled_as[0]}, row {sampled_as[1]}", max(answers, key=len)[:_SAMPLED_CHARACTERS]))


def _opening(question: str) -> str:
    """The first words of a question, in lower case."""
    return " ".join(_WORD.findall(question[:_OPENING_CHARACTERS])[:_N_FIRST_WORDS]).lower()


def _hash(texts: Sequence[str]) -> int:
    """A hash of texts without differences of case and white space."""
    text = " ".join("\0".join(texts).casefold().split())
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Repeated:
    """Rows that share something: how many, and the first of them with its split."""

    n_rows: int
    split: str
    first: Mapping[str, Any]


def repeated(folder: Path, kept: KeptRows, hashes: "array[int]") -> list[Repeated]:
    """Return the largest sets of rows with equal `hashes` (of two rows or more), with the first row of each."""
    import numpy

    _, first, counts = numpy.unique(_as_array(hashes), return_index=True, return_counts=True)
    order = numpy.lexsort((first, -counts))[:N_LARGEST]  # ties in the order of the rows
    largest = [(int(counts[one]), int(first[one])) for one in order if counts[one] > 1]
    rows = {}
    for split, begin, end in kept.split_bounds():
        here = sorted(position for _, position in largest if begin <= position < end)
        found = rows_at(folder, split, [position - begin for position in here])
        rows.update({position: (split, row) for position, row in zip(here, found, strict=True)})
    return [Repeated(n, *rows[position]) for n, position in largest if position in rows]


def n_repeats(*hashes: "array[int]") -> int:
    """Return how many rows have the same `hashes` as an earlier row."""
    import numpy

    rows = numpy.stack([_as_array(one) for one in hashes], axis=1)
    return len(rows) - len(numpy.unique(rows, axis=0))


def n_shared_with_train(kept: KeptRows, hashes: "array[int]") -> dict[str, int]:
    """Return for validation and test how many of their rows have a hash that a row of train has."""
    import numpy

    parts = {split: _as_array(hashes)[begin:end] for split, begin, end in kept.split_bounds()}
    train = parts.pop("train", numpy.array([], dtype=numpy.uint64))
    return {split: int(numpy.isin(part, train).sum()) for split, part in parts.items()}


def _as_array(hashes: "array[int]") -> "ndarray":
    import numpy

    return numpy.frombuffer(hashes, dtype=numpy.uint64)
