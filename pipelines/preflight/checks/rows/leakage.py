"""Checks for leakage: held-out rows that are in training, exactly, nearly, or through their group."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from data_prep.conversation import content_text
from pipelines.preflight.check_context import CheckContext, SampledRow, SampledRows, Stage
from pipelines.preflight.checks.evidence import Check, builder, diff_excerpts, head, share_of
from pipelines.preflight.near_duplicates import Row, Similarity, near_duplicates, similarity, words_of
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity
from pipelines.training.data.ledger import RowFate

# Shares of the held-out rows. One leaked row in a hundred moves the mean loss by as much as fine-tuning methods differ.
# A single row in a large set is chance, in a set of twenty it is much. Public sets have a tenth of that anyway.
_ERROR_SHARE = 0.01
_ERROR_SHARE_ALONE = 0.05
_NOTE_SHARE = 0.005
# The same request with another answer leaks less, and generic requests ("tell me a joke") are in every random split:
# 1 to 6% of rows in Dolly and other hand-written sets.
_MANY_REQUESTS = 0.1
_GENERIC = 5  # words of request and answer together: "Thanks" and "You're welcome" are said twice by chance
_GENERIC_TEXT = 8  # words of a text without a request
_GROUPS_ERROR_SHARE = 0.1  # below it, equal instructions on different inputs, which are one group too, explain it
_GROUPS_NOTE_SHARE = 0.01
_MAX_ROWS_OF_GROUP = 20  # on average: a column of larger groups is a category
_OUR_COLUMNS = {"source", "source_row", "group"}  # of a folder that data_prep built
_GROUP_COLUMNS = ("group", "group_id", "conversation_id", "message_tree_id", "document_id", "doc_id", "source_file")
_QUOTED = 60  # characters of each row of a pair
_WHY = "the model remembers rows it was trained on, so every result on these held-out rows looks too good"


@dataclass(frozen=True)
class _Pair:
    held_out: SampledRow
    train: SampledRow
    similarity: Similarity

    @property
    def is_weak(self) -> bool:
        """Whether the training row says little about the held-out one: another answer, or a few generic words."""
        row = self.held_out
        n_words = len(words_of(row.asked)) + sum(len(words_of(answer)) for answer in row.answers)
        return self.similarity is Similarity.REQUEST or n_words < (_GENERIC if row.asked.strip() else _GENERIC_TEXT)


def train_eval_overlap(context: CheckContext) -> Iterator[Finding]:
    """TRAIN_EVAL_OVERLAP: held-out rows with exactly the request (or text) of a training row."""
    pairs = _equal_pairs(context)
    if not pairs or context.held_out is None:
        return
    n_rows, n_strong = len(_used(context.held_out)), sum(not pair.is_weak for pair in pairs)
    is_small = n_strong / n_rows < _NOTE_SHARE and not _are_many_requests(pairs, n_rows)
    what = "repeat the request of a training row" if any(pair.held_out.asked for pair in pairs) else "are training rows"
    severity = Severity.NOTE if is_small else Severity.WARNING
    # pairs of one prompt share what makes an answer to it good, whichever two answers are compared
    are_pairs_split = context.stage is Stage.DPO and _are_many_requests(pairs, n_rows)
    yield Finding(
        "TRAIN_EVAL_OVERLAP",
        Severity.ERROR if are_pairs_split or _is_material(n_strong, n_rows) else severity,
        summary=f"{share_of(len(pairs), n_rows)} held-out rows {what}{_answers(pairs)}{_of_sample(context)}",
        why=_WHY,
        remedy=_rebuild(context),
        evidence=_evidence(sorted(pairs, key=lambda pair: pair.is_weak)),
        n_rows=len(pairs),
    )


def train_eval_near_overlap(context: CheckContext) -> Iterator[Finding]:
    """TRAIN_EVAL_NEAR_OVERLAP: held-out rows with only small differences to a training row."""
    if context.held_out is None:
        return
    equal = {pair.held_out.number for pair in _equal_pairs(context)}
    held_out = [row for row in _used(context.held_out) if row.number not in equal]
    train = _used(context.train)
    found = near_duplicates(list(map(_compared, train)), list(map(_compared, held_out)))
    pairs = [_Pair(held_out[one.held_out], train[one.train], one.similarity) for one in found]
    if not pairs:
        return
    n_rows, strong = len(held_out) + len(equal), [pair for pair in pairs if not pair.is_weak]
    n_certain = sum(pair.similarity is Similarity.EQUAL for pair in strong)
    warns = _is_material(len(strong), n_rows) or _are_many_requests(pairs, n_rows)
    severity = Severity.WARNING if warns else Severity.NOTE
    yield Finding(
        "TRAIN_EVAL_NEAR_OVERLAP",
        # edits are a judgment and warn at most; rows that differ only in case and punctuation are certain
        Severity.ERROR if _is_material(n_certain, n_rows) else severity,
        summary=f"{share_of(len(pairs), n_rows)} held-out rows equal a training row except for case, white space, "
        f"punctuation, typos or a few words{_answers(pairs)}{_of_sample(context)}",
        why=_WHY,
        remedy=f"remove these rows from one of the splits; {builder(context)} keeps rows together that differ only in "
        "case and white space",
        evidence=_evidence(sorted(pairs, key=lambda pair: (pair.is_weak, -pair.similarity))),
        n_rows=len(pairs),
    )


def group_in_two_splits(context: CheckContext) -> Iterator[Finding]:
    """GROUP_IN_TWO_SPLITS: rows of one group (a module, a document, a conversation) in both splits."""
    if context.held_out is None:
        return
    column = next((name for name in _GROUP_COLUMNS if name in context.train.columns), None)
    if column is None or column not in context.held_out.columns:
        return
    is_ours = column == "group" and set(context.train.columns) >= _OUR_COLUMNS
    train, held_out = _by_group(context.train, column, is_ours), _by_group(context.held_out, column, is_ours)
    shared = [group for group in held_out if group in train]
    if not shared or not (is_ours or _is_group_column(column, train, held_out)) or len({*train, *held_out}) < 2:
        return
    n_shared, n_rows = sum(len(held_out[group]) for group in shared), len(_used(context.held_out))
    severity = Severity.ERROR if is_ours and n_shared >= _GROUPS_ERROR_SHARE * n_rows else Severity.WARNING
    yield Finding(
        "GROUP_IN_TWO_SPLITS",
        Severity.NOTE if n_shared < _GROUPS_NOTE_SHARE * n_rows else severity,
        summary=f"{share_of(n_shared, n_rows)} held-out rows share their {column} with training rows: {len(shared)} of "
        f"{len(held_out)} groups are in both splits{_of_sample(context)}",
        why="rows of one group share names and text, so these held-out rows are not new to the model",
        remedy=_rebuild(context, column),
        evidence=tuple(
            Evidence(
                f"{column} {head(str(held_out[group][0].values[column]), _QUOTED)}, also of training row "
                f"{train[group][0].number}",
                held_out[group][0].number,
                "held-out",
            )
            for group in islice(shared, MAX_EVIDENCE)
        ),
        n_rows=n_shared,
    )


def _equal_pairs(context: CheckContext) -> list[_Pair]:
    """Held-out rows with a training row of the same request, or text: the one with the same answer if there is one."""
    if context.held_out is None:
        return []
    requests: dict[str, list[SampledRow]] = defaultdict(list)
    for row in _used(context.train):
        requests[_key(row)].append(row)
    pairs = []
    for row in _used(context.held_out):
        if others := requests.get(_key(row)):
            other = next((one for one in others if one.answers == row.answers), others[0])
            found = similarity(_compared(row), _compared(other))
            pairs.append(_Pair(row, other, Similarity.EQUAL if found is None else found))
    return pairs


def _used(sampled: SampledRows) -> list[SampledRow]:
    """The rows that are trained or evaluated on and have text."""
    return [row for row in sampled.rows if row.fate is not RowFate.DROPPED and _text(row)]


def _key(row: SampledRow) -> str:
    return unicodedata.normalize("NFC", _text(row))


def _text(row: SampledRow) -> str:
    return row.asked.strip() or "\n".join(row.answers).strip()


def _compared(row: SampledRow) -> Row:
    """A row's request and answer, without the system prompt, which many rows share."""
    asked = row.asked
    if row.messages and row.messages[0]["role"] in ("system", "developer"):
        asked = asked.removeprefix(content_text(row.messages[0])) or asked
    return Row(asked, "\n".join(row.answers))


def _is_material(n_found: int, n_rows: int) -> bool:
    share = n_found / n_rows
    return (n_found > 1 and share >= _ERROR_SHARE) or share >= _ERROR_SHARE_ALONE


def _are_many_requests(pairs: Sequence[_Pair], n_rows: int) -> bool:
    return len(pairs) > 1 and len(pairs) >= _MANY_REQUESTS * n_rows


def _answers(pairs: Sequence[_Pair]) -> str:
    n_other = sum(pair.similarity is Similarity.REQUEST for pair in pairs)
    if not n_other:
        return ""
    return ", with other answers" if n_other == len(pairs) else f", {n_other} of them with another answer"


def _of_sample(context: CheckContext) -> str:
    samples = [one for one in context.splits if one.is_sample]
    sizes = " and ".join(f"{len(one.rows)} of {one.n_rows} {one.split} rows" for one in samples)
    return f" (in a sample of {sizes}: the whole set has more)" if samples else ""


def _evidence(pairs: Sequence[_Pair]) -> tuple[Evidence, ...]:
    shown = []
    for pair in pairs[:MAX_EVIDENCE]:
        held_out, train = diff_excerpts(_text(pair.held_out), _text(pair.train), _QUOTED)
        text = f"{held_out} is training row {pair.train.number}: {train}"
        shown.append(Evidence(text, pair.held_out.number, "held-out"))
    return tuple(shown)


def _rebuild(context: CheckContext, column: str | None = None) -> str:
    """How to split again with equal requests and groups together."""
    size = getattr(context.data, "test_split_size", None)
    if size is not None and set(context.train.columns) >= _OUR_COLUMNS:
        return (
            f"remove `test_split_size: {size}` and set `dataset_test_split: validation`: the dataset folder's own "
            "split keeps groups together"
        )
    if column is not None:
        return f"split by `{column}`: put all rows of one value into one split"
    without = f", without `test_split_size: {size}`" if size is not None else ""
    return (
        f"run `python {builder(context)} --source FILE --output FOLDER` over all rows, which drops duplicates and "
        f"keeps equal requests in one split, and set `dataset_name: FOLDER`{without}"
    )


def _by_group(sampled: SampledRows, column: str, is_ours: bool) -> dict[Any, list[SampledRow]]:
    """Rows by group. Our groups are named within their source: two packages can both have a module `io`."""
    groups: dict[Any, list[SampledRow]] = defaultdict(list)
    for row in _used(sampled):
        group = row.values.get(column)
        if group not in (None, ""):
            groups[(str(row.values.get("source")) if is_ours else "", str(group))].append(row)
    return groups


def _is_group_column(
    column: str, train: Mapping[Any, Sequence[SampledRow]], held_out: Mapping[Any, Sequence[SampledRow]]
) -> bool:
    """Whether a column that we did not write has groups: not a category, and not numbers that restart in each split."""
    names = {name for _, name in held_out}
    if any(names == {str(first + i) for i in range(len(names))} for first in (0, 1)):
        return False
    n_rows = sum(map(len, (*train.values(), *held_out.values())))
    return column not in ("group", "group_id") or n_rows <= _MAX_ROWS_OF_GROUP * len(train.keys() | held_out.keys())


CHECKS: tuple[Check, ...] = (train_eval_overlap, train_eval_near_overlap, group_in_two_splits)
