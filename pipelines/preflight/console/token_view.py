"""The token view: rows as the model reads them, with what is in the loss, where an answer ends and what was cut."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from rich.text import Text
from transformers import PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.inference.teacher_forcing import IGNORED
from pipelines.modeling import end_token
from pipelines.modeling.chat_template import token_id_of
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.console.shown_row import (
    Gap,
    Piece,
    Role,
    ShownExample,
    ShownRow,
    ShownToken,
    kept_places,
    without,
)
from pipelines.preflight.console.terminal import columns, one_line, rendered, token_text
from pipelines.records.finding import LabelledToken
from pipelines.training.data.ledger import RowFate
from pipelines.training.data.truncation import Example
from pipelines.training.pretrain.document_boundaries import separators_of

# Tokens around each change of role, and the most of one row: on a page, and in the terminal.
_PAGE, _TERMINAL = (120, 1_500), (32, 320)
_MAX_TOKENS_OF_A_CHARACTER = 4  # UTF-8 has at most four bytes
_BROKEN = "\N{REPLACEMENT CHARACTER}"
PIECE = "▪"  # a token that is only the first bytes of a character
_INDENT = "  "
_ROOM = 3  # cells for a bar and a closing mark after the last token of a line
_BAR = "│"  # not "|", which chat templates have in their special tokens
_LEGEND = f"{_BAR} between tokens  · space  ⏎ line break  → tab  {PIECE} part of a letter"
_LEGEND_COLUMNS = 120  # below it the legend takes two lines
_TRAINED, _END = "underline green", "bold underline green"
_STYLES = {Role.BEGIN: "bold", Role.PROMPT: "dim", Role.ANSWER: _TRAINED, Role.END: _END, Role.CUT: "strike red"}


@dataclass(frozen=True)
class Marks:
    """Ids that are marked in a row: the end token of an answer, and what opens a text."""

    end_id: int | None
    opening: tuple[int, ...]


def shown_rows(context: CheckContext, n: int) -> list[ShownRow]:
    """The first `n` kept training rows; the last one is a truncated or dropped row, if there is one."""
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
    """A row that was truncated, else one dropped for its length, else one dropped for another reason."""
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
    places = kept_places(roles, *_PAGE)
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
    """Single tokens as text. A character of several tokens is shown at the last of them."""

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


def legend_line(color: bool) -> str:
    """What the marks of `row_lines` mean; two lines in a narrow terminal."""
    gap = "  " if columns() >= _LEGEND_COLUMNS else "\n"
    if not color:
        return f"[[in the loss]]  ⟨end⟩ end token  ~~cut off~~{gap}{_LEGEND}"
    names = (("prompt", "dim"), ("in the loss", _TRAINED), ("end token", _END), ("cut off", "strike red"))
    shown = [rendered(Text(name, style), True) + ("⟨end⟩" if style == _END else "") for name, style in names]
    return "  ".join(shown) + gap + _LEGEND


def row_lines(shown: ShownRow, color: bool) -> list[str]:
    """A row: a title with its counts and fate, then its tokens in lines of the terminal's width."""
    fate = shown.fate.value.replace("_", " ")
    fate += f" ({one_line(shown.reason, 100).replace('_', ' ')})" if shown.reason else ""
    counts = f"{shown.n_tokens} tokens, {shown.n_trained} in the loss"
    if shown.fate is RowFate.DROPPED:
        counts = f"all {shown.n_cut} tokens dropped" if shown.n_cut else "no tokens"
    elif shown.n_cut:
        counts += f", {shown.n_cut} cut off"
    title = Text.assemble((f"row {shown.number}", "bold"), f" ({shown.split}): {counts}; ",
                          (fate, "" if shown.fate is RowFate.KEPT else "bold yellow"))  # fmt: skip
    lines = [rendered(title, color)]
    for example in shown.examples:
        if example.title:
            counts = f": {example.n_tokens} tokens, {example.n_trained} in the loss" if example.n_tokens else ""
            lines.append(_INDENT + rendered(Text.assemble((example.title, "bold"), counts), color))
        pieces = without(example.pieces, kept_places([piece.role for piece in example.pieces], *_TERMINAL))
        lines += [_INDENT + line for line in _token_lines(pieces, columns() - len(_INDENT), color)]
    return lines


def evidence_lines(tokens: Iterable[LabelledToken], width: int, color: bool) -> list[str]:
    """The tokens of a finding, those in the loss marked."""
    roles = (Role.PROMPT, Role.ANSWER)
    return _token_lines([ShownToken(t.text, t.token_id, t.trained, roles[t.trained]) for t in tokens], width, color)


def _token_lines(pieces: Sequence[Piece], width: int, color: bool) -> list[str]:
    """Tokens with bars between them in lines of at most `width` cells; without `color` with marks for the roles."""
    lines, closing, ends_line = [Text()], "", False
    for piece in pieces:
        opening, closes = ("", "") if color else _brackets(piece)
        if closes != closing:
            lines[-1].append(closing)
        if lines[-1] and ends_line:
            lines.append(Text())
        elif lines[-1]:
            lines[-1].append(_BAR, "dim")
        text, style = _shown(piece)
        for number, part in enumerate(re.findall("[^⏎]+⏎*|⏎+", (opening if closes != closing else "") + text)):
            if number and lines[-1]:
                lines.append(Text())
            for whole in _fitting(Text(part, style), width - _ROOM):
                if lines[-1] and lines[-1].cell_len + whole.cell_len > width - _ROOM:
                    lines.append(Text())
                lines[-1].append_text(whole)
        closing, ends_line = closes, text.endswith("⏎")
    lines[-1].append(closing)
    return [rendered(line, color) for line in lines if line]


def _fitting(text: Text, width: int) -> Iterator[Text]:
    """`text` in pieces of at most `width` cells."""
    while text.cell_len > width:
        n = next(n for n in range(len(text.plain), 0, -1) if n == 1 or Text(text.plain[:n]).cell_len <= width)
        first, text = text.divide([n])
        yield first
    yield text


def _brackets(piece: Piece) -> tuple[str, str]:
    """What is written around such tokens where there are no colors."""
    if piece.role is Role.CUT:
        return "~~", "~~"
    trained = piece.n_trained == piece.n_tokens if isinstance(piece, Gap) else piece.trained
    return ("[[", "]]") if trained else ("", "")


def _shown(piece: Piece) -> tuple[str, str]:
    """Text and style of a token or a gap."""
    if isinstance(piece, Gap):
        return f" … {piece.n_tokens} tokens … ", "dim"
    text, style = token_text(piece.text), _STYLES[piece.role]
    if piece.role is Role.END:
        return (text + "⟨end⟩", style) if piece.trained else (text + "⟨end, not in the loss⟩", "bold reverse red")
    if piece.role is Role.BEGIN:
        return text + "⟨start⟩", _TRAINED if piece.trained else style
    return text, style
