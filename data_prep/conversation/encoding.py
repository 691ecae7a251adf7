"""Repair mojibake: UTF-8 text that was read in another encoding ("Ã©" for é). By ftfy, with guards for correct text."""

import re
from functools import cache

ABOUT_ENCODINGS = re.compile(r"mojibake|encod|utf-?8|unicode|latin-?1|cp1252|ftfy|charset", re.IGNORECASE)
_OPENING, _CLOSING = "\"'`“‘«", "\"'`”’»"
# What ftfy must not see: code that looks for mojibake has it between quotes, and Portuguese words in capitals end like
# it (MAÇÃ”, AMANHÃ—).
_CORRECT = re.compile(rf"([{_OPENING}][^\x00-\x7f]{{1,8}}[{_CLOSING}]|(?<=[A-ZÀ-Þ])Ã(?=[”—»\xa0])|«Ã»)")


@cache
def _possible_mojibake() -> re.Pattern[str]:
    """What every misread character begins with: a byte that begins one of UTF-8 and a byte that continues it, in an
    encoding that ftfy knows. Searching this takes a hundredth of the time of ftfy's own test."""
    from ftfy.chardata import CHARMAP_ENCODINGS  # not needed for ASCII

    bytes_of = {"begin": bytes(range(0xC2, 0xF5)), "continue": bytes(range(0x80, 0xC0))}
    begin, then = (
        "".join(sorted({re.escape(one) for name in CHARMAP_ENCODINGS for one in data.decode(name, "ignore")}))
        for data in bytes_of.values()
    )
    return re.compile(f"[{begin}][{then}]")


def _may_be_mojibake(text: str) -> bool:
    # before a space: a no-break space of the misread character has become one
    return _possible_mojibake().search(text) is not None or "Ã " in text or "Â " in text


def repaired(text: str) -> str:
    """Return `text` with its mojibake repaired, line by line; the same object if it has none."""
    if text.isascii() or not _may_be_mojibake(text):
        return text
    from ftfy.badness import is_bad

    lines = text.split("\n")
    fixed = [
        _repaired_line(line) if not line.isascii() and _may_be_mojibake(line) and is_bad(line) else line
        for line in lines
    ]
    return text if fixed == lines else "\n".join(fixed)


def _repaired_line(line: str) -> str:
    import ftfy

    pieces = _CORRECT.split(line)
    pieces[::2] = map(ftfy.fix_encoding, pieces[::2])
    return "".join(pieces)


def is_quoted(text: str, begin: int, end: int) -> bool:
    """Whether `text[begin:end]` is alone between quotes: text about these characters, or code that looks for them."""
    return begin > 0 and text[begin - 1] in _OPENING and text[end : end + 1] in _CLOSING
