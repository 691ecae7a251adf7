"""Check of the order: rows that are sorted by source, label, language or length, and trained in the order of the file.

Columns, short answers and scripts are compared by how often they change from row to row, words by where their rows are
(Kolmogorov-Smirnov), numbers and lengths by rank correlation with the row number.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import Check, spread
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_MIN_ROWS, _MAX_ROWS = 16, 2_000  # evenly from the first to the last
_FEW_CHANGES = 0.35  # of those that shuffled rows have
_MIN_DEVIATIONS = 4.0  # below the number of changes of shuffled rows
_MIN_CORRELATION = 0.8
_MIN_DISTANCE, _MAX_CHANCE = 0.6, 1e-4  # of the places of rows with and without a word
_MAX_GROUPS, _ROWS_OF_A_GROUP = 50, 4
_LONGEST_LABEL = 60  # characters of an answer that can be a label
_N_CHARACTERS, _N_WORDS = 600, 300  # of a row, and of the set
_WORD = re.compile(r"\w+")
_OF_ROW_NUMBER = re.compile(r"(^|_)(id|idx|index|number|no|row|line|date|time|timestamp|at)s?($|_)", re.IGNORECASE)
_DATE_OR_NUMBER = re.compile(r"[\d\s:./TZ+-]+")
_TIMESTAMP = 1e8  # seconds, and ids of users or posts


def rows_sorted(context: CheckContext) -> Iterator[Finding]:
    """ROWS_SORTED: the run trains one kind of rows after the other."""
    rows = spread(context.train.rows, _MAX_ROWS)
    if not _keeps_order(context) or len(rows) < _MIN_ROWS:
        return
    kinds = [_by_group, _by_number]
    if context.stage is not Stage.PRETRAIN:  # documents about one subject stand together in most corpora
        kinds.append(_by_word)
    found = [text for kind in kinds for text in kind(rows)]
    if not found:
        return
    streams = getattr(context.data, "streaming", False)
    yield Finding(
        "ROWS_SORTED",
        Severity.WARNING,
        summary=f"the rows are trained in the order of the file, and they are sorted: {found[0]}",
        why="each kind of rows is forgotten while the next one is trained, and batches differ from the set as a whole",
        remedy="shuffle the documents of the source, or remove streaming"
        if streams
        else "set train_sampling_strategy: random",
        evidence=tuple(Evidence(text) for text in found[:MAX_EVIDENCE]),
        fix={} if streams else {"train_sampling_strategy": "random"},
    )


def _keeps_order(context: CheckContext) -> bool:
    """Whether the run trains rows in their order: sequential sampling, or a stream."""
    training: Any = context.training
    if context.stage is Stage.PRETRAIN and getattr(context.data, "streaming", False):
        return True
    shuffled = getattr(training, "shuffle_dataset", False) or getattr(training, "packing", False)
    return training.train_sampling_strategy == "sequential" and not shuffled


def _by_group(rows: Sequence[SampledRow]) -> Iterator[str]:
    """What changes rarely from row to row, although it has several values."""
    kinds: dict[str, Callable[[SampledRow], Any]] = {
        "the answer": lambda row: row.answers[0] if row.answers and len(row.answers[0]) <= _LONGEST_LABEL else None,
        "the number of messages": lambda row: len(row.messages),
        "the script": lambda row: _script("".join((*row.answers[:1], row.asked))),
    }
    kinds |= {f"column {name}": partial(_value, name) for name in rows[0].values}
    for what, value_of in kinds.items():
        values = [value_of(row) for row in rows]
        if not all(value is None or isinstance(value, str | int) for value in values) or _tells_when(what, values):
            continue
        counts = Counter(values)
        if not 1 < len(counts) <= min(_MAX_GROUPS, len(rows) // _ROWS_OF_A_GROUP):
            continue
        n_changes = sum(one != other for one, other in pairwise(values))
        share = 1 - sum((count / len(rows)) ** 2 for count in counts.values())
        usual = (len(rows) - 1) * share
        deviation = math.sqrt((len(rows) - 1) * share * (1 - share)) or 1.0
        if n_changes <= _FEW_CHANGES * usual and usual - n_changes >= _MIN_DEVIATIONS * deviation:
            yield f"{what} changes {n_changes} times along {len(rows)} rows (shuffled: about {usual:.0f} times)"


def _tells_when(what: str, values: Sequence[str | int | None]) -> bool:
    """Whether they are the dates or numbers in the order of which rows are written anyway."""
    texts = [value for value in values if isinstance(value, str)]
    return what.startswith("column") and (
        _OF_ROW_NUMBER.search(what.removeprefix("column ")) is not None
        or (bool(texts) and all(_DATE_OR_NUMBER.fullmatch(text) for text in texts))
    )


def _value(name: str, row: SampledRow) -> Any:
    return row.values.get(name)


def _by_number(rows: Sequence[SampledRow]) -> Iterator[str]:
    """Lengths, texts and numeric columns that rise or fall with the row number."""
    lengths = [sum(map(len, row.examples)) or len(row.asked) + sum(map(len, row.answers)) for row in rows]
    numbers: dict[str, Sequence[Any]] = {
        "the length": lengths,
        "the answer, from A to Z,": [row.answers[0] if row.answers else "" for row in rows],
    }
    for name in rows[0].values:
        values: list[Any] = [row.values.get(name) for row in rows]
        if all(type(value) in (int, float) for value in values) and not _numbers_the_rows(name, values):
            numbers[f"column {name}"] = values
    for what, sequence in numbers.items():
        correlation = _rank_correlation(sequence)
        if abs(correlation) >= _MIN_CORRELATION:
            falls = "falls" if correlation < 0 else "rises"
            yield f"{what} {falls} with the row number (rank correlation {correlation:.2f}, shuffled: about 0)"


def _numbers_the_rows(name: str, values: Sequence[Any]) -> bool:
    is_id = all(isinstance(value, int) for value in values) and len(set(values)) == len(values)
    return is_id or _OF_ROW_NUMBER.search(name) is not None or max(map(abs, values)) > _TIMESTAMP


def _rank_correlation(values: Sequence[Any]) -> float:
    """Spearman's correlation of `values` with their places; 0 if there are a few different values alone."""
    from scipy.stats import spearmanr

    rank = {value: place for place, value in enumerate(sorted(set(values)))}
    if len(rank) < len(values) / _ROWS_OF_A_GROUP:
        return 0.0
    return float(spearmanr([rank[value] for value in values], range(len(values))).statistic)


def _by_word(rows: Sequence[SampledRow]) -> Iterator[str]:
    """The word that is most of all in one end of the file."""
    n = len(rows)
    places: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        text = f"{row.asked[:_N_CHARACTERS]} {' '.join(row.answers[:1])[:_N_CHARACTERS]}"
        for word in set(_WORD.findall(text.lower())):
            places[word].append(index)
    balanced = sorted(places, key=lambda word: (abs(len(places[word]) - n / 2), word))[:_N_WORDS]
    apart = [
        (2 * math.exp(-2 * distance**2 * len(places[word]) * (n - len(places[word])) / n), word)
        for word in balanced
        if len(places[word]) < n and (distance := _distance(places[word], n)) >= _MIN_DISTANCE
    ]
    chance, word = min(apart, default=(1.0, ""))
    if chance * len(balanced) <= _MAX_CHANCE:
        n_with, half = len(places[word]), sum(place < n / 2 for place in places[word])
        yield (
            f"of {n_with} rows with the word {word!r}, {half} are in the first half of the file and {n_with - half} "
            "in the second"
        )


def _distance(places: Sequence[int], n: int) -> float:
    """The largest difference between the shares of the rows with and without a word up to some row."""
    n_with, n_without = len(places), n - len(places)
    steps = (
        (number / n_with - (place - number) / n_without, (number + 1) / n_with - (place - number) / n_without)
        for number, place in enumerate(places)
    )
    return max(abs(one) for step in steps for one in step)


def _script(text: str) -> str:
    """The script of the first letter beyond ASCII, else of ASCII."""
    letter = next((one for one in text[:_N_CHARACTERS] if one.isalpha() and ord(one) > 0x24F), "a")
    return unicodedata.name(letter, "").partition(" ")[0]


CHECKS: tuple[Check, ...] = (rows_sorted,)
