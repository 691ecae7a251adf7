"""Remove control and invisible characters, where the script of the text does not need them."""

import re
from collections import Counter
from collections.abc import Sequence

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import Changed, NoOptions, RowStep, StepFunction, Verdict
from data_prep.conversation.encoding import is_quoted

# Tab, line breaks and form feed (pages of source files) are text.
_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\n\r\f"))

_COLOR = r"\x1b\[[0-9;]*[A-Za-z]"  # of a terminal
# JSON and string literals read \b, \f and the like of LaTeX as control characters.
_LATEX = (
    r"\x07(?=lpha|pprox|ngle)|\x08(?=eta|egin|oldsymbol|ullet|inom|mod|ar\b)|\x0b(?=ec\b|ec\{|arphi|dots|ert|ee\b)"
    r"|\x0c(?=rac\b|rac\{|orall|lat\b)"
)
_LETTER = {"\x07": r"\a", "\x08": r"\b", "\x0b": r"\v", "\x0c": r"\f"}
_KINDS = {
    "latex_escape": _LATEX,
    "terminal_color": _COLOR,
    "line_separator": "[\x0b\x85\u2028\u2029]",
    "control_character": "[\x00-\x08\x0e-\x1f\x7f]|(?<![\x80-\x9f\xc2-\xf4€])[\x80-\x9f]",
    "soft_hyphen": "\u00ad",
    "zero_width": "[\u200b\u2060-\u2064]",
    "object_replacement": "\ufffc",
    "joiner": "[\u200c\u200d]",
    "direction_mark": "[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]",
    "byte_order_mark": "\ufeff",
    "tag_character": "(?<![\U0001f3f4\U000e0000-\U000e007f])[\U000e0000-\U000e007f]+",
}
_ANY = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _KINDS.items()))
_HAS_ANY = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffc\U000e0000-\U000e007f]"
)
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_NO_SPACES = re.compile(
    "[\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u1980-\u19df\u3040-\u30ff]"
)  # U+200B parts their words
_OVERRIDES = "\u202d\u202e"  # turn letters around: they hide code from readers, no script needs them
_FIRST_JOINING = "\u0600"  # joiners shape Arabic and Indic letters and emoji, which all come after it
_PUNCTUATION = ("\u2000", "\u206f")


def _control_characters(_: NoOptions) -> StepFunction:
    def step(texts: Sequence[RowText]) -> Verdict:
        if not any(_has_any(one.text) for one in texts):
            return None
        counts: Counter[str] = Counter()
        new = [_without(one.text, counts) if _has_any(one.text) else one.text for one in texts]
        return Changed(new, dict(counts)) if counts else None

    return step


def _has_any(text: str) -> bool:
    if not text.isascii():
        return _HAS_ANY.search(text) is not None
    data = text.encode()  # deleting bytes is ten times faster than searching
    return len(data.translate(None, _CONTROLS)) != len(data) or "\f" in text


def _without(text: str, counts: Counter[str]) -> str:
    is_right_to_left = _RIGHT_TO_LEFT.search(text) is not None
    has_no_spaces = _NO_SPACES.search(text) is not None

    def replacement(found: re.Match[str]) -> str:
        kind, character = str(found.lastgroup), found.group()
        if (
            is_quoted(text, *found.span())
            or (kind == "joiner" and _joins(text, found.start()))
            or (kind == "direction_mark" and is_right_to_left and character not in _OVERRIDES)
            or (kind == "zero_width" and character == "\u200b" and has_no_spaces)
        ):
            return character
        counts[kind] += 1
        if kind == "latex_escape":
            return _LETTER[character]
        if kind == "control_character" and "\x80" <= character <= "\x9f":  # Windows-1252 read as Latin-1
            return character.encode("latin-1").decode("windows-1252", errors="ignore")
        return "\n" if kind == "line_separator" else ""

    return _ANY.sub(replacement, text)


def _joins(text: str, place: int) -> bool:
    """Whether the character before a joiner is one that joiners shape."""
    before = text[place - 1 : place].strip()
    return before >= _FIRST_JOINING and not _PUNCTUATION[0] <= before <= _PUNCTUATION[1]


STEPS: list[RowStep] = [
    RowStep("control_characters", "removes control, zero-width and direction characters", _control_characters)
]
