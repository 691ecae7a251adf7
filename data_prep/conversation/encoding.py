"""Repair mojibake: UTF-8 text that was read in another encoding ("Ã©" for é). By ftfy, with guards for correct text."""

import re

ABOUT_ENCODINGS = re.compile(r"mojibake|encod|utf-?8|unicode|latin-?1|cp1252|ftfy|charset", re.IGNORECASE)
_OPENING, _CLOSING = "\"'`“‘«", "\"'`”’»"
# What ftfy must not see: code that looks for mojibake has it between quotes, and Portuguese words in capitals end like
# it (MAÇÃ”, AMANHÃ—).
_CORRECT = re.compile(rf"([{_OPENING}][^\x00-\x7f]{{1,8}}[{_CLOSING}]|(?<=[A-ZÀ-Þ])Ã(?=[”—»\xa0])|«Ã»)")


def repaired(text: str) -> str:
    """Return `text` with its mojibake repaired, line by line; the same object if it has none."""
    if text.isascii():
        return text
    from ftfy.badness import is_bad  # not needed for ASCII

    if not is_bad(text):
        return text
    lines = text.split("\n")
    fixed = [_repaired_line(line) if not line.isascii() and is_bad(line) else line for line in lines]
    return text if fixed == lines else "\n".join(fixed)


def _repaired_line(line: str) -> str:
    import ftfy

    pieces = _CORRECT.split(line)
    pieces[::2] = map(ftfy.fix_encoding, pieces[::2])
    return "".join(pieces)


def is_quoted(text: str, begin: int, end: int) -> bool:
    """Whether `text[begin:end]` is alone between quotes: text about these characters, or code that looks for them."""
    return begin > 0 and text[begin - 1] in _OPENING and text[end : end + 1] in _CLOSING
