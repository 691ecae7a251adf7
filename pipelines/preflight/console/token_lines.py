"""Tokens in a terminal: coloured by their part in the row, or with plain marks; white space can be seen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

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
from pipelines.preflight.console.shown_text import Paint, columns, n_cells, on_one_line, painted, pieces_of, token_text
from pipelines.records.finding import LabelledToken
from pipelines.training.data.ledger import RowFate

# of one row: what fits on a screen or two
AROUND, MAX_SHOWN = 32, 320
_INDENT = "  "
_ROOM = 3  # for a bar and a closing mark behind the last token of a line
_BETWEEN = "│"  # not "|", which chat templates have in their special tokens
_SIGNS = f"{_BETWEEN} between tokens  · space  ⏎ line break  → tab  ▪ part of a character"
_LEGEND_COLUMNS = 120  # below it the signs go on a second line
_PAINTS = {
    Role.BEGIN: Paint.BOLD, Role.PROMPT: Paint.SOFT, Role.ANSWER: Paint.TRAINED, Role.END: Paint.END,
    Role.CUT: Paint.CUT,
}  # fmt: skip


@dataclass
class _Flow:
    """Painted pieces set one after another in lines of at most `width` cells."""

    width: int
    colour: bool
    lines: list[str] = field(default_factory=lambda: [""])
    filled: int = 0

    def put(self, text: str, paint: Paint = Paint.NONE) -> None:
        """Set `text` on the line if it fits, else on the next."""
        for piece in pieces_of(text, self.width):
            cells = n_cells(piece)
            if self.filled and self.filled + cells > self.width:
                self.end_line()
            self.glue(piece, paint)

    def glue(self, text: str, paint: Paint = Paint.NONE) -> None:
        """Set `text` on this line even where it does not fit: a mark that belongs to what is before it."""
        self.lines[-1] += painted(text, paint, self.colour)
        self.filled += n_cells(text)

    def divide(self) -> None:
        """A bar after the token on this line; a new line divides by itself."""
        if self.filled:
            self.glue(_BETWEEN, Paint.SOFT)

    def end_line(self) -> None:
        """Begin a new line, unless this one is empty."""
        if self.filled:
            self.lines.append("")
            self.filled = 0


def legend_line(colour: bool) -> str:
    """What the marks of `row_lines` mean; two lines where the terminal is narrow."""
    if colour:
        trained, end = painted("in the loss", Paint.TRAINED, True), painted("end token", Paint.END, True)
        prompt, cut = painted("prompt", Paint.SOFT, True), painted("cut off", Paint.CUT, True)
        return f"{prompt}  {trained}  {end}⟨end⟩  {cut}{_gap()}{_SIGNS}"
    return f"[[in the loss]]  ⟨end⟩ end token  ~~cut off~~{_gap()}{_SIGNS}"


def _gap() -> str:
    return "  " if columns() >= _LEGEND_COLUMNS else "\n"


def row_lines(shown: ShownRow, colour: bool) -> list[str]:
    """A row: a head line with its counts and fate, then its tokens in lines of the terminal's width."""
    lines = [_head(shown, colour)]
    for example in shown.examples:
        if example.title:
            counts = f": {example.n_tokens} tokens, {example.n_trained} in the loss" if example.n_tokens else ""
            lines.append(_INDENT + painted(example.title, Paint.BOLD, colour) + counts)
        lines += [_INDENT + line for line in _example_lines(example, columns() - len(_INDENT), colour)]
    return lines


def evidence_lines(tokens: Iterable[LabelledToken], width: int, colour: bool) -> list[str]:
    """The tokens of a finding, those in the loss marked."""
    pieces = [
        ShownToken(one.text, one.token_id, one.trained, Role.ANSWER if one.trained else Role.PROMPT) for one in tokens
    ]
    return _flowed(pieces, width, colour)


def _head(shown: ShownRow, colour: bool) -> str:
    fate = shown.fate.value.replace("_", " ")
    reason = f" ({on_one_line(shown.reason, 100).replace('_', ' ')})" if shown.reason else ""
    paint = Paint.NONE if shown.fate is RowFate.KEPT else Paint.WARNING
    counts = f"{shown.n_tokens} tokens, {shown.n_trained} in the loss"
    if shown.fate is RowFate.DROPPED:
        counts = f"all {shown.n_cut} tokens left out" if shown.n_cut else "no tokens"
    elif shown.n_cut:
        counts += f", {shown.n_cut} cut off"
    name = painted(f"row {shown.number}", Paint.BOLD, colour)
    return f"{name} ({shown.split}): {counts}; {painted(fate + reason, paint, colour)}"


def _example_lines(example: ShownExample, width: int, colour: bool) -> list[str]:
    roles = [piece.role for piece in example.pieces]
    return _flowed(without(example.pieces, kept_places(roles, AROUND, MAX_SHOWN)), width, colour)


def _flowed(pieces: Sequence[Piece], width: int, colour: bool) -> list[str]:
    flow = _Flow(width - _ROOM, colour)
    closing = ""
    for place, piece in enumerate(pieces):
        opening, closes = ("", "") if colour else _marks(piece)
        changes = closes != closing
        if changes:
            flow.glue(closing)
        if place and _ends_line(pieces[place - 1]):
            flow.end_line()
        else:
            flow.divide()
        _put(flow, piece, opening if changes else "")
        closing = closes
    flow.glue(closing)
    return [line for line in flow.lines if line]


def _marks(piece: Piece) -> tuple[str, str]:
    """What stands around a stretch of such tokens where there are no colours."""
    if piece.role is Role.CUT:
        return "~~", "~~"
    trained = piece.n_trained == piece.n_tokens if isinstance(piece, Gap) else piece.trained
    return ("[[", "]]") if trained else ("", "")


def _put(flow: _Flow, piece: Piece, opening: str) -> None:
    if isinstance(piece, Gap):
        flow.put(f"{opening} … {piece.n_tokens} tokens … ", Paint.SOFT)
        return
    paint, text = _paint(piece), token_text(piece.text)
    for number, part in enumerate(_parts(opening + text + _note(piece))):
        if number:
            flow.end_line()
        flow.put(part, paint)


def _ends_line(piece: Piece) -> bool:
    return isinstance(piece, ShownToken) and token_text(piece.text).endswith("⏎")


def _paint(token: ShownToken) -> Paint:
    if token.role is Role.END and not token.trained:
        return Paint.UNTRAINED_END
    return Paint.TRAINED if token.role is Role.BEGIN and token.trained else _PAINTS[token.role]


def _note(token: ShownToken) -> str:
    if token.role is Role.END:
        return "⟨end⟩" if token.trained else "⟨end, not in the loss⟩"
    return "⟨start⟩" if token.role is Role.BEGIN else ""


def _parts(text: str) -> list[str]:
    """`text` in pieces that each end after a run of line breaks."""
    begins = [at for at in range(1, len(text)) if text[at - 1] == "⏎" != text[at]]
    return [text[begin:end] for begin, end in zip([0, *begins], [*begins, len(text)], strict=True)]
