"""A check for answers that belong to the prompts of other rows.

A word that only one prompt and only one answer of the set have links the two. In real sets, of whatever language and
task, 57 to 100% of the linked prompts are linked to their own answer, and no other distance between the rows is common.
If a column was shifted, one distance is; if it was shuffled, several words of a prompt link it to the same other row.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import Check, head, share_of
from pipelines.preflight.checks.pairing.exchange import Exchange, exchanges_of
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_N_ROWS, _N_PIECES = 3_000, 30  # that are compared: pieces of consecutive rows, evenly from first to last
_CHARACTERS = 600  # of each text
_QUOTED = 60  # characters of an answer by which it is found in a prompt
_STEM = 6  # letters: other endings are the same word
_WORD = re.compile(r"[^\W\d_]{3,}")
_WITHOUT_SPACES = re.compile("[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]+")  # there, two characters are a word

_MIN_LINKED = 5  # prompts of a stretch that are linked at one distance
_OWN = 4  # times as many as are linked to their own answer
_OTHER_DISTANCE = 2  # times as many as at any other distance
_OF_LINKED = 1 / 3  # of the linked prompts of the stretch
_MIN_STRONG = 6  # prompts with two words in one other answer
_ERROR_SHARE = 0.05  # of the rows

Links = Mapping[int, Counter[int]]  # place of a prompt -> places of answers, with the number of words


@dataclass(frozen=True)
class _Stretch:
    """The prompts from `first` to `last`, of which those at `linked` have their answers `distance` further on."""

    distance: int
    first: int
    last: int
    linked: Sequence[int]
    n_own: int


def answers_of_other_rows(context: CheckContext) -> Iterator[Finding]:
    """ANSWERS_OF_OTHER_ROWS: questions and answers shifted against each other, or shuffled."""
    if context.stage is Stage.PRETRAIN:
        return
    exchanges = list(exchanges_of(context, _pieces(context)))
    links = _links(exchanges) if exchanges else {}
    if not links:
        return
    stretch = _shifted(links, len(exchanges))
    if stretch is not None:
        n_rows = stretch.last - stretch.first + 1
        linked = [(place, place + stretch.distance) for place in stretch.linked]
        direction = "next" if stretch.distance > 0 else "previous"
        where = f"the {direction} row" if abs(stretch.distance) == 1 else f"the row {stretch.distance:+d} from it"
        said = (
            f"{share_of(n_rows, len(exchanges))} prompts, from row {exchanges[stretch.first].row.number} to row "
            f"{exchanges[stretch.last].row.number}, have their answer in {where}: of those that share a rare word with "
            f"one answer, {len(linked)} share it with that row's and {stretch.n_own} with their own"
        )
    else:
        linked = _shuffled(links)
        n_own, n_rows = sum(place in of for place, of in links.items()), len(exchanges)
        if not linked:
            return
        said = (
            f"the answers belong to other rows: {len(linked)} of {len(links)} prompts that share a rare word with one "
            f"answer share several with another row's, {n_own} share one with their own"
        )
    yield Finding(
        "ANSWERS_OF_OTHER_ROWS",
        Severity.ERROR if n_rows >= _ERROR_SHARE * len(exchanges) else Severity.WARNING,
        summary=said,
        why="the model learns to answer something other than what it is asked",
        remedy="join questions and answers again from their source, by a key and not by position; if all are shifted "
        "by one row, move the answer column back by it",
        evidence=tuple(
            Evidence(
                f"prompt: {head(exchanges[i].asked, 55)} | answer in row {exchanges[j].row.number}: "
                f"{head(exchanges[j].answer, 55)}",
                exchanges[i].row.number,
                "train",
            )
            for i, j in linked[:MAX_EVIDENCE]
        ),
        n_rows=n_rows,
    )


def _pieces(context: CheckContext) -> list[SampledRow]:
    """All rows, or pieces of consecutive ones: a shifted row's neighbor must be there."""
    rows = context.train.rows
    if len(rows) <= _N_ROWS:
        return list(rows)
    size = _N_ROWS // _N_PIECES
    begins = [piece * (len(rows) - size) // (_N_PIECES - 1) for piece in range(_N_PIECES)]
    return [row for begin in begins for row in rows[begin : begin + size]]


def _links(exchanges: Sequence[Exchange]) -> Links:
    """Words that one prompt and one answer have.

    Two rows that are each other's answer (a translation both ways), and an answer that is quoted in another prompt, are
    no sign of a shift and left out.
    """
    prompts, answers = (_only_in(texts) for texts in zip(*((one.asked, one.answer) for one in exchanges), strict=True))
    links: dict[int, Counter[int]] = defaultdict(Counter)
    for word, place in prompts.items():
        if place >= 0 and answers.get(word, -1) >= 0:
            links[place][answers[word]] += 1

    def counts(place: int, other: int) -> bool:
        is_both_ways = place in links.get(other, ())
        return place == other or not (
            is_both_ways or exchanges[other].answer.strip()[:_QUOTED] in exchanges[place].asked
        )

    kept = {place: Counter({o: n for o, n in of.items() if counts(place, o)}) for place, of in links.items()}
    return {place: of for place, of in kept.items() if of}


def _only_in(texts: Sequence[str]) -> dict[str, int]:
    """The place of the only text with a word, or -1 for several."""
    places: dict[str, int] = {}
    for place, text in enumerate(texts):
        for word in _words(text[:_CHARACTERS].lower()):
            places[word] = -1 if word in places else place
    return places


def _words(text: str) -> set[str]:
    words = {word[:_STEM] for word in _WORD.findall(text)}
    if not text.isascii():
        for run in _WITHOUT_SPACES.findall(text):
            words |= {run[place : place + 2] for place in range(len(run) - 1)}
    return words


def _shifted(links: Links, n: int) -> _Stretch | None:
    """The longest stretch of prompts whose answers are all at one distance."""
    distances = Counter(other - place for place, of in links.items() for other in of)
    stretches = [
        one
        for distance, count in distances.most_common(4)
        if distance and count >= _MIN_LINKED and (one := _stretch(links, distance, n))
    ]
    return max(stretches, key=lambda one: len(one.linked), default=None)


def _stretch(links: Links, distance: int, n: int) -> _Stretch | None:
    """Where prompts are linked at `distance` and not to their own answer, if that is no chance."""
    best = (0, 0, 0)
    total = begin = 0
    for place in range(n):
        of = links.get(place, ())
        total += (place + distance in of) - 2 * (place in of)
        if total <= 0:
            total, begin = 0, place + 1
        if total > best[0]:
            best = (total, begin, place)
    _, first, last = best
    inside = {place: of for place, of in links.items() if first <= place <= last}
    counts = Counter(other - place for place, of in inside.items() for other in of)
    n_found, n_own = counts.pop(distance, 0), counts.pop(0, 0)
    others = max(counts.values(), default=0)
    is_certain = (
        n_found >= max(_MIN_LINKED, _OWN * n_own, _OF_LINKED * len(inside)) and n_found >= _OTHER_DISTANCE * others
    )
    linked = [place for place, of in inside.items() if place + distance in of]
    return _Stretch(distance, first, last, sorted(linked), n_own) if is_certain else None


def _shuffled(links: Links) -> list[tuple[int, int]]:
    """Prompts and the other rows' answers that they share several words with, if hardly any shares one with its own."""
    strong = [
        (place, max(of, key=lambda other: of[other])) for place, of in sorted(links.items()) if max(of.values()) > 1
    ]
    found = [(place, other) for place, other in strong if place != other]
    n_own = sum(place in of for place, of in links.items())
    return found if len(found) >= max(_MIN_STRONG, _OWN * n_own) else []


CHECKS: tuple[Check, ...] = (answers_of_other_rows,)
