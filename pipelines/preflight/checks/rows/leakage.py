"""Held-out rows that are in training: the same, nearly the same, or of one group with training rows."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.conversation import content_text
from pipelines.preflight.check_context import CheckContext, SampledRow, SampledRows, Stage
from pipelines.preflight.checks.excerpts import head
from pipelines.preflight.checks.kind import Check
from pipelines.preflight.checks.rows.diff_excerpt import diff_excerpts
from pipelines.preflight.near_duplicates import Row, Similarity, near_duplicates, similarity, words_of
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity
from pipelines.training.data.ledger import RowFate

# Shares of the held-out rows. One row in a hundred moves a mean loss by about what fine-tuning methods differ in; a
# single row in a large set is chance, in a set of twenty it is much. A tenth of that is what public sets have anyway.
_RUINOUS = 0.01
_RUINOUS_ALONE = 0.05
_SMALL = 0.005
# The same request with another answer tells the model less, and generic ones ("tell me a joke") meet in every random
# split: 1 to 6 % of rows in Dolly and other hand-written sets. Several answers to each request, split at random: most.
_MANY_REQUESTS = 0.1
_GENERIC = 5  # words of request and answer together: "Thanks" and "You're welcome" are said twice by chance
_GENERIC_TEXT = 8  # words of a text without a request
_GROUPS_RUINOUS = 0.1  # below it, equal instructions on different inputs, which are one group too, explain it
_GROUPS_SMALL = 0.01
_MAX_ROWS_OF_GROUP = 20  # on average: a column of larger groups, where it is not ours, is a category
_OUR_COLUMNS = {"source", "source_row", "group"}  # of a folder that data_prep built
_GROUP_COLUMNS = ("group", "group_id", "conversation_id", "message_tree_id", "document_id", "doc_id", "source_file")
_QUOTED = 60  # characters of each row of a pair
_BUILDERS = {
    Stage.SFT: "build_instructions.py", Stage.DPO: "build_preferences.py", Stage.PRETRAIN: "build_corpus.py",
}  # fmt: skip
_WHY = (
    "a model remembers rows that it was trained on, so the loss on held-out rows and every comparison that uses them "
    "look better than it is"
)


@dataclass(frozen=True)
class _Pair:
    held_out: SampledRow
    train: SampledRow
    similarity: Similarity

    @property
    def is_weak(self) -> bool:
        """Whether the training row tells little about the held-out one: another answer, or words said by chance."""
        row = self.held_out
        n_words = len(words_of(row.asked)) + sum(len(words_of(answer)) for answer in row.answers)
        return self.similarity is Similarity.REQUEST or n_words < (_GENERIC if row.asked.strip() else _GENERIC_TEXT)


def train_eval_overlap(context: CheckContext) -> Iterator[Finding]:
    """TRAIN_EVAL_OVERLAP: held-out rows whose request (or text) is a training row's, to the letter."""
    pairs = _equal_pairs(context)
    if not pairs or context.held_out is None:
        return
    n_seen, n_strong = len(_used(context.held_out)), sum(not pair.is_weak for pair in pairs)
    is_small = n_strong / n_seen < _SMALL and not _is_many_requests(pairs, n_seen)
    asks = "ask what a training row asks" if any(pair.held_out.asked for pair in pairs) else "are training rows too"
    severity = Severity.NOTE if is_small else Severity.WARNING
    yield Finding(
        "TRAIN_EVAL_OVERLAP",
        Severity.ERROR if _is_material(n_strong, n_seen) else severity,
        summary=f"{_of(len(pairs), n_seen)} held-out rows {asks}{_answers(pairs)}{_of_sample(context)}",
        why=_WHY,
        remedy=_rebuild(context),
        evidence=_evidence(sorted(pairs, key=lambda pair: pair.is_weak)),
        n_rows=len(pairs),
    )


def train_eval_near_overlap(context: CheckContext) -> Iterator[Finding]:
    """TRAIN_EVAL_NEAR_OVERLAP: held-out rows that are near duplicates of training rows."""
    if context.held_out is None:
        return
    equal = {pair.held_out.number for pair in _equal_pairs(context)}
    held_out = [row for row in _used(context.held_out) if row.number not in equal]
    train = _used(context.train)
    found = near_duplicates([_compared(row) for row in train], [_compared(row) for row in held_out])
    pairs = [_Pair(held_out[pair.held_out], train[pair.train], pair.similarity) for pair in found]
    if not pairs:
        return
    n_seen, strong = len(held_out) + len(equal), [pair for pair in pairs if not pair.is_weak]
    n_certain = sum(pair.similarity is Similarity.EQUAL for pair in strong)
    warns = _is_material(len(strong), n_seen) or _is_many_requests(pairs, n_seen)
    severity = Severity.WARNING if warns else Severity.NOTE
    yield Finding(
        "TRAIN_EVAL_NEAR_OVERLAP",
        # edits are a judgement, which warns at most; rows that differ in case and marks alone are certain
        Severity.ERROR if _is_material(n_certain, n_seen) else severity,
        summary=f"{_of(len(pairs), n_seen)} held-out rows are near duplicates of training rows (case, white space, "
        f"punctuation, typos or a few words){_answers(pairs)}{_of_sample(context)}",
        why=_WHY,
        remedy=f"remove these rows from one of the splits; {_BUILDERS[context.stage]} keeps together what differs in "
        "case and white space only",
        evidence=_evidence(sorted(pairs, key=lambda pair: (pair.is_weak, -pair.similarity))),
        n_rows=len(pairs),
    )


def group_in_two_splits(context: CheckContext) -> Iterator[Finding]:
    """GROUP_IN_TWO_SPLITS: rows of one group (a module, a document, a conversation) on both sides of the split."""
    if context.held_out is None:
        return
    column = next((name for name in _GROUP_COLUMNS if name in context.train.columns), None)
    if column is None or column not in context.held_out.columns:
        return
    is_ours = column == "group" and set(context.train.columns) >= _OUR_COLUMNS
    train, held_out = _by_group(context.train, column, is_ours), _by_group(context.held_out, column, is_ours)
    shared = [group for group in held_out if group in train]
    if not shared or not (_tells_groups(train, held_out) and (is_ours or _is_of_groups(column, train, held_out))):
        return
    n_rows, n_seen = sum(len(held_out[group]) for group in shared), len(_used(context.held_out))
    yield Finding(
        "GROUP_IN_TWO_SPLITS",
        _group_severity(n_rows / n_seen, is_ours),
        summary=f"{_of(n_rows, n_seen)} held-out rows are of a {column} that training rows are of too: {len(shared)} "
        f"of {len(held_out)} groups are in both splits{_of_sample(context)}",
        why="rows of one group (a module, a document, a conversation) share names and text, so those held out are not "
        "new to the model",
        remedy=_rebuild(context, column),
        evidence=tuple(
            Evidence(
                f"{column} {head(str(held_out[group][0].values[column]), _QUOTED)} is training row "
                f"{train[group][0].number}'s too",
                held_out[group][0].number,
                "held-out",
            )
            for group in shared[:MAX_EVIDENCE]
        ),
        n_rows=n_rows,
    )


def _equal_pairs(context: CheckContext) -> list[_Pair]:
    """Held-out rows with a training row of the same request, or text: the one of the likest answer."""
    if context.held_out is None:
        return []
    asked: dict[str, list[SampledRow]] = defaultdict(list)
    for row in _used(context.train):
        asked[_key(row)].append(row)
    pairs = []
    for row in _used(context.held_out):
        others = asked.get(_key(row), ())
        if others:
            other = next((one for one in others if one.answers == row.answers), others[0])
            found = similarity(_compared(row), _compared(other))
            pairs.append(_Pair(row, other, Similarity.EQUAL if found is None else found))
    return pairs


def _used(seen: SampledRows) -> list[SampledRow]:
    """The rows that are trained or evaluated on and hold text."""
    return [row for row in seen.rows if row.fate is not RowFate.DROPPED and _text(row)]


def _key(row: SampledRow) -> str:
    text = _text(row)
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _text(row: SampledRow) -> str:
    return row.asked.strip() or "\n".join(row.answers).strip()


def _compared(row: SampledRow) -> Row:
    """A row's request and answer; without a system prompt, which many rows share whatever they ask."""
    asked = row.asked
    if row.messages and row.messages[0]["role"] in ("system", "developer"):
        asked = asked.removeprefix(content_text(row.messages[0])) or asked
    return Row(asked, "\n".join(row.answers))


def _is_material(n_rows: int, n_seen: int) -> bool:
    share = n_rows / n_seen
    return (n_rows > 1 and share >= _RUINOUS) or share >= _RUINOUS_ALONE


def _is_many_requests(pairs: Sequence[_Pair], n_seen: int) -> bool:
    return len(pairs) > 1 and len(pairs) >= _MANY_REQUESTS * n_seen


def _answers(pairs: Sequence[_Pair]) -> str:
    n_other = sum(pair.similarity is Similarity.REQUEST for pair in pairs)
    if not n_other:
        return ""
    return ", with other answers" if n_other == len(pairs) else f", {n_other} of them with another answer"


def _of(n_rows: int, n_seen: int) -> str:
    return f"{n_rows} of {n_seen} ({n_rows / n_seen:.1%})"


def _of_sample(context: CheckContext) -> str:
    """What to add where not all rows were looked at: rows out of sight have more of the same."""
    samples = [seen for seen in context.splits if seen.is_sample]
    if not samples:
        return ""
    sizes = " and ".join(f"{len(seen.rows)} of {seen.n_rows} {seen.split} rows" for seen in samples)
    return f" (a sample of {sizes}: in all there are more)"


def _evidence(pairs: Sequence[_Pair]) -> tuple[Evidence, ...]:
    quoted = [(pair, *diff_excerpts(_text(pair.held_out), _text(pair.train), _QUOTED)) for pair in pairs[:MAX_EVIDENCE]]
    return tuple(
        Evidence(f"{held_out} is training row {pair.train.number}: {train}", pair.held_out.number, "held-out")
        for pair, held_out, train in quoted
    )


def _rebuild(context: CheckContext, column: str | None = None) -> str:
    """How to split anew with equal requests and groups kept together."""
    size = getattr(context.data, "test_split_size", None)
    if size is not None and set(context.train.columns) >= _OUR_COLUMNS:
        return (
            f"remove `test_split_size: {size}` and evaluate on the dataset folder's own split "
            "(`dataset_test_split: validation`), which has no group in common with training"
        )
    if column is not None:
        return f"split by `{column}`: give all rows of one value to one split"
    build = f"python data_prep/{_BUILDERS[context.stage]} --source FILE --output FOLDER"
    also = f", without `test_split_size: {size}`" if size is not None else ""
    return (
        f"run `{build}` over all rows, which drops equal ones and keeps equal requests in one split, and set "
        f"`dataset_name: FOLDER`{also}"
    )


def _by_group(seen: SampledRows, column: str, is_ours: bool) -> dict[Any, list[SampledRow]]:
    """Rows by their group. Our groups are named within their source: two packages can both have a module `io`."""
    groups: dict[Any, list[SampledRow]] = defaultdict(list)
    for row in _used(seen):
        group = row.values.get(column)
        if group not in (None, ""):
            groups[(str(row.values.get("source")) if is_ours else "", str(group))].append(row)
    return groups


def _tells_groups(train: Mapping[Any, Any], held_out: Mapping[Any, Any]) -> bool:
    """Whether there is more than one group: a constant column says nothing."""
    return len(train.keys() | held_out.keys()) > 1


def _is_of_groups(
    column: str, train: Mapping[Any, Sequence[SampledRow]], held_out: Mapping[Any, Sequence[SampledRow]]
) -> bool:
    """Whether a column that we did not write is of groups: no category, and not numbered anew in each split."""
    names = {name for _, name in held_out}
    if names in (_numbers(0, len(names)), _numbers(1, len(names))):
        return False
    n_rows = sum(map(len, (*train.values(), *held_out.values())))
    return column not in ("group", "group_id") or n_rows <= _MAX_ROWS_OF_GROUP * len(train.keys() | held_out.keys())


def _numbers(first: int, n: int) -> set[str]:
    return set(map(str, range(first, first + n)))


def _group_severity(share: float, is_ours: bool) -> Severity:
    if share < _GROUPS_SMALL:
        return Severity.NOTE
    return Severity.ERROR if is_ours and share >= _GROUPS_RUINOUS else Severity.WARNING


CHECKS: tuple[Check, ...] = (train_eval_overlap, train_eval_near_overlap, group_in_two_splits)
