"""Text for a terminal, rendered by rich: styles, wrapping, and control characters of rows made visible."""

import io
import os
import shutil
from typing import TextIO

from rich.color import ColorSystem
from rich.console import Console
from rich.text import Text

from pipelines.files.visible_text import visible

MAX_TOKEN_CHARACTERS = 80  # of one token: a run of white space can be one token of any length
MIN_COLUMNS, MAX_COLUMNS = 40, 110  # longer lines are hard to read
_MARKS = str.maketrans({"\r": "␍", "\n": "⏎", "\t": "→"})


def supports_color(stream: TextIO) -> bool:
    """Whether `stream` is a terminal, and neither NO_COLOR (no-color.org) nor TERM=dumb turns colors off."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def columns() -> int:
    """Width of the terminal, within reason; COLUMNS overrules it."""
    return max(MIN_COLUMNS, min(shutil.get_terminal_size((MAX_COLUMNS, 24)).columns, MAX_COLUMNS))


def one_line(text: str, max_characters: int | None = None, space: str = " ") -> str:
    """`text` with line breaks as marks and control characters visible; the rest over `max_characters` is counted."""
    cut = text if max_characters is None else text[:max_characters]
    more = f"⟨{len(text) - len(cut):,} more characters⟩" if len(cut) < len(text) else ""
    return visible(cut.translate(_MARKS)).replace(" ", space) + more


def token_text(text: str) -> str:
    """A token with visible white space, cut to a length; one without width is named."""
    shown = one_line(text, MAX_TOKEN_CHARACTERS, space="·")
    return shown if Text(shown).cell_len else "".join(f"⟨U+{ord(character):04X}⟩" for character in shown)


def rendered(text: Text, color: bool) -> str:
    """One line of `text`, with the terminal's escape codes if `color`."""
    if not color:
        return text.plain
    segments = Text().append_text(text).render(Console(file=io.StringIO()))
    return "".join(
        one.style.render(one.text, color_system=ColorSystem.STANDARD) if one.style else one.text for one in segments
    )


def wrapped(text: Text | str, width: int, color: bool = False, *, first: str = "", rest: str = "") -> list[str]:
    """`text` in lines of at most `width` cells, after an indent for the `first` line and one for the `rest`."""
    console = Console(file=io.StringIO(), width=width)
    whole = Text(text) if isinstance(text, str) else text
    lines = list(whole.wrap(console, width - len(rest))) or [Text()]
    for line in lines:
        line.rstrip()
    return [(rest if number else first) + rendered(line, color) for number, line in enumerate(lines)]
