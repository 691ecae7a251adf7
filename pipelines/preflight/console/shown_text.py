"""Text for a terminal: made visible, measured in cells, wrapped and painted; nothing of a row reaches it raw."""

import os
import shutil
import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from typing import TextIO

from pipelines.files.visible_text import visible

MAX_TOKEN_CHARACTERS = 80  # of one token: a run of white space can be one token of any length
MIN_COLUMNS, MAX_COLUMNS = 40, 110  # longer lines are hard to read
_MARKS = {"\r": "␍", "\n": "⏎", "\t": "→"}


class Paint(StrEnum):
    """How a piece of text is painted: parameters of the terminal's SGR sequence."""

    NONE = ""
    BOLD = "1"
    SOFT = "2"
    ERROR = "1;31"
    WARNING = "1;33"
    NOTE = "1;36"
    TRAINED = "4;32"
    END = "1;4;32"
    UNTRAINED_END = "1;7;31"
    CUT = "9;31"


def painted(text: str, paint: Paint, colour: bool) -> str:
    """`text` in that paint, as it is without `colour`."""
    return f"\x1b[{paint.value}m{text}\x1b[0m" if colour and paint and text else text


def wants_colour(stream: TextIO) -> bool:
    """Whether `stream` is a terminal, and neither NO_COLOR (no-color.org) nor a dumb terminal asks for none."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def columns() -> int:
    """Cells of a line: the terminal's, within reason; COLUMNS overrules it."""
    return max(MIN_COLUMNS, min(shutil.get_terminal_size((MAX_COLUMNS, 24)).columns, MAX_COLUMNS))


def on_one_line(text: str, max_characters: int | None = None, space: str = " ") -> str:
    """`text` with nothing hidden and line breaks as marks; what is over `max_characters` is counted instead."""
    cut = text if max_characters is None else text[:max_characters]
    shown = "".join(_MARKS.get(character, character) for character in cut)
    more = f"⟨{len(text) - len(cut):,} more characters⟩" if len(cut) < len(text) else ""
    return visible(shown).replace(" ", space) + more


def token_text(text: str) -> str:
    """A token in which white space can be seen, cut to a length; one that has no width is named."""
    shown = on_one_line(text, MAX_TOKEN_CHARACTERS, space="·")
    return shown if n_cells(shown) else "".join(f"⟨U+{ord(character):04X}⟩" for character in shown)


def n_cells(text: str) -> int:
    """Columns that a terminal gives `text`: two for wide letters (Chinese, emoji), none for combining marks."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(character) for character in text)


def pieces_of(text: str, width: int) -> Iterator[str]:
    """`text` in pieces of at most `width` cells."""
    if n_cells(text) <= width:
        yield text
        return
    piece, filled = "", 0
    for character in text:
        cells = _cells_of(character)
        if piece and filled + cells > width:
            yield piece
            piece, filled = "", 0
        piece, filled = piece + character, filled + cells
    yield piece


def wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` cells, broken at spaces, inside a word only where it is longer than a line."""
    lines: list[str] = []
    for word in text.split():
        for number, piece in enumerate(pieces_of(word, width)):
            joined = f"{lines[-1]} {piece}" if lines and number == 0 else None
            if joined is not None and n_cells(joined) <= width:
                lines[-1] = joined
            else:
                lines.append(piece)
    return lines or [""]


def _cells_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
