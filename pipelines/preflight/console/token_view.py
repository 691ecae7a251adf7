"""The token view: rows as the model reads them, with what is in the loss, where an answer ends and what was cut.

for row in shown_rows(case, 3):
    print(*row_lines(row, colour=True), sep="\\n")
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.inference.teacher_forcing import IGNORED
from pipelines.modeling import end_token
from pipelines.modeling.chat_template import token_id_of
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.console.shown_row import Role, ShownExample, ShownRow, ShownToken, kept_places, without
from pipelines.preflight.console.token_lines import legend_line, row_lines
from pipelines.training.data.ledger import RowFate
from pipelines.training.data.truncation import Example
from pipelines.training.pretrain.document_boundaries import separators_of

__all__ = ["ShownRow", "legend_line", "row_lines", "shown_rows"]

# What a page can hold of one row and a reader can look through; the terminal shows less (token_lines).
AROUND, MAX_SHOWN = 120, 1_500
_MAX_TOKENS_OF_A_CHARACTER = 4  # UTF-8 has at most four bytes
_BROKEN = "\N{REPLACEMENT CHARACTER}"
PIECE = "▪"  # a token that is only the first bytes of a character


@dataclass(frozen=True)
class Marks:
    """Ids that are marked in a row: the end token of an answer, and what opens a text."""

    end_id: int | None
    opening: tuple[int, ...]


def shown_rows(context: CheckContext, n: int) -> list[ShownRow]:
    """The first `n` rows to train on that are kept; the last of them is one that was cut or dropped, if there is one.

    Where fewer are kept, the others fill up.
    """
    if n < 1:
        return []
    rows = context.train.rows
    changed = _first_changed(rows) if n > 1 else None
    kept = [row for row in rows if row.fate is RowFate.KEPT and row.examples]
    chosen = [*kept[: n - 1], changed] if changed is not None else kept[:n]
    taken = {row.number for row in chosen}
    chosen += [row for row in rows if row.number not in taken][: n - len(chosen)]
    marks = _marks(context)
    return [_shown_row(context, row, marks) for row in chosen]


def _first_changed(rows: Sequence[SampledRow]) -> SampledRow | None:
    """A row of which a part was cut, else one that was dropped for its length, else one dropped for another reason."""
    changed = [row for row in rows if row.fate is not RowFate.KEPT]
    cut = next((row for row in changed if row.examples), None)
    return cut or next((row for row in changed if row.whole), next(iter(changed), None))


def _marks(context: CheckContext) -> Marks:
    tokenizer = context.tokenizer
    end_id: int | None = tokenizer.eos_token_id
    if context.stage is Stage.PRETRAIN:
        separators = separators_of(tokenizer, bool(getattr(context.data, "respect_documents", False)))
        return Marks(end_id, tuple(separators.opening))
    if context.is_conversational and tokenizer.chat_template:
        with suppress(UserError):  # the template ends no answer, which is a finding of its own
            end_id = token_id_of(tokenizer, end_token(tokenizer))
    return Marks(end_id, () if tokenizer.bos_token_id is None else (tokenizer.bos_token_id,))


def _shown_row(context: CheckContext, row: SampledRow, marks: Marks) -> ShownRow:
    pairs = _pairs(row)
    if context.stage is Stage.PRETRAIN:
        closing = () if marks.end_id is None else (marks.end_id,)
        documents = [[*marks.opening, *one.token_ids, *closing] for one in row.examples]
        pairs = [(Example(ids, ids), None) for ids in documents]
    titles = _titles(context, row, len(pairs))
    examples = tuple(
        _shown_example(context.tokenizer, title, kept, whole, marks)
        for title, (kept, whole) in zip(titles, pairs, strict=True)
    )
    return ShownRow(row.number, context.train.split, row.fate, row.reason, examples)


def _pairs(row: SampledRow) -> list[tuple[Example, Example | None]]:
    """Each example that is trained, with what it was before it was cut; of a dropped row nothing is trained."""
    nothing = Example([], [])
    if row.fate is RowFate.DROPPED or not row.examples:
        return [(nothing, whole) for whole in row.whole]
    if row.fate is RowFate.SPLIT:
        return [(piece, None) for piece in row.examples]
    left = list(row.whole)
    pairs: list[tuple[Example, Example | None]] = []
    for one in row.examples:
        before = max(left, key=lambda whole: _n_alike(one.token_ids, whole.token_ids), default=None)
        if before is not None:
            left.remove(before)
        pairs.append((one, before))
    return pairs + [(nothing, whole) for whole in left]


def _titles(context: CheckContext, row: SampledRow, n: int) -> list[str | None]:
    if context.stage is Stage.DPO and n == 2:
        return ["chosen", "rejected"]
    if context.stage is Stage.PRETRAIN:
        return ["a document, from its start"] * n
    what = "piece" if row.fate is RowFate.SPLIT else "example"
    return [f"{what} {number} of {n}" for number in range(1, n + 1)] if n > 1 else [None] * n


def _shown_example(
    tokenizer: PreTrainedTokenizerBase, title: str | None, kept: Example, whole: Example | None, marks: Marks
) -> ShownExample:
    """`kept` with what `whole` has besides: the longest common beginning and end are what stayed."""
    n_begin = n_cut = 0
    if whole is not None:
        n_begin = _n_alike(kept.token_ids, whole.token_ids)
        room = min(len(kept), len(whole)) - n_begin
        n_end = min(room, _n_alike(kept.token_ids[::-1], whole.token_ids[::-1]))
        n_cut = len(whole) - n_begin - n_end
    cut = whole.token_ids[n_begin : n_begin + n_cut] if whole is not None else []
    ids = [*kept.token_ids[:n_begin], *cut, *kept.token_ids[n_begin:]]
    labels = [*kept.labels[:n_begin], *[IGNORED] * n_cut, *kept.labels[n_begin:]]
    roles = _roles(kept, marks)
    roles[n_begin:n_begin] = [Role.CUT] * n_cut
    places = kept_places(roles, AROUND, MAX_SHOWN)
    reader = _Reader(tokenizer, ids)
    tokens = [
        ShownToken(reader.text(place) if shown else "", ids[place], labels[place] != IGNORED, roles[place])
        for place, shown in enumerate(places)
    ]
    return ShownExample(title, without(tokens, places), len(kept), kept.n_trained, n_cut)


def _roles(example: Example, marks: Marks) -> list[Role]:
    """An end token is one in the loss, or one right behind an answer that should have been."""
    roles: list[Role] = []
    for place, (token_id, label) in enumerate(zip(example.token_ids, example.labels, strict=True)):
        trained = label != IGNORED
        if place == 0 and token_id in marks.opening:
            roles.append(Role.BEGIN)
        elif token_id == marks.end_id and (trained or roles[-1:] == [Role.ANSWER]):
            roles.append(Role.END)
        else:
            roles.append(Role.ANSWER if trained else Role.PROMPT)
    return roles


def _n_alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences have in common from the beginning."""
    shorter = min(len(one), len(other))
    return next((place for place in range(shorter) if one[place] != other[place]), shorter)


@dataclass(frozen=True)
class _Reader:
    """Single tokens as text. A character of several tokens stands at the last of them."""

    tokenizer: PreTrainedTokenizerBase
    token_ids: list[int]

    def text(self, place: int) -> str:
        """The token at `place` with the space before it, which some tokenizers leave out at the start of a text."""
        begin, end = self._character(place)
        if place < end - 1:
            return PIECE
        before = self.token_ids[max(0, begin - 1) : begin]
        context, whole = self._decoded(before), self._decoded([*before, *self.token_ids[begin:end]])
        return whole[len(context) :] if whole.startswith(context) else self._decoded(self.token_ids[begin:end])

    def _character(self, place: int) -> tuple[int, int]:
        """The fewest tokens around `place` that decode to whole characters; the token alone where none do."""
        if not self._is_broken(place, place + 1):
            return place, place + 1
        for size in range(2, _MAX_TOKENS_OF_A_CHARACTER + 1):
            for begin in range(max(0, place - size + 1), min(place, len(self.token_ids) - size) + 1):
                parts_are_broken = all(self._is_broken(one, one + 1) for one in range(begin, begin + size))
                if parts_are_broken and not self._is_broken(begin, begin + size):
                    return begin, begin + size
        return place, place + 1

    def _is_broken(self, begin: int, end: int) -> bool:
        return _BROKEN in self._decoded(self.token_ids[begin:end])

    def _decoded(self, token_ids: list[int]) -> str:
        return str(self.tokenizer.decode(token_ids)) if token_ids else ""
