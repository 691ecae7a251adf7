"""UTF-8 that was read in another encoding: "Ã©" for é, "â€™" for an apostrophe, "Ð¿Ñ€Ð¸" for "при".

The idea is ftfy's: put the characters back into the bytes that they were read from, and see whether those are UTF-8.
That alone is true of some honest text as well, because an accented letter before two closing marks can be such bytes:
"olé…”" would read as 酔. So only what no language writes is looked at: a lead byte before a character that follows no
letter, or several sequences in a row.
"""

import re
import unicodedata
from collections.abc import Iterator

from pipelines.preflight.check_context import CheckContext
from pipelines.preflight.checks.excerpts import excerpt, texts_of
from pipelines.preflight.checks.kind import Check
from pipelines.preflight.checks.rows.shares import severity_by_share
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding

_ERROR_SHARE = 0.05  # of the rows: few damaged rows teach little, a set that was read wrongly has many


def _bytes_of(encoding: str, first: int, last: int) -> dict[str, int]:
    """Characters that stand for single bytes in `encoding`, with these bytes."""
    decoded = ((bytes([byte]).decode(encoding, errors="ignore"), byte) for byte in range(first, last + 1))
    return {character: byte for character, byte in decoded if character}


# Bytes that cp1252 leaves out are read as Latin-1 by browsers and by many programs, so both count.
_BYTES = {**_bytes_of("latin-1", 0x80, 0xFF), **_bytes_of("cp1252", 0x80, 0xFF)}
_CYRILLIC_BYTES = _bytes_of("cp1251", 0x80, 0xFF)
_MAC_BYTES = _bytes_of("mac-roman", 0x80, 0xFF)


def _class_of(characters: dict[str, int], first: int, last: int, but: str = "") -> str:
    kept = (one for one, byte in characters.items() if first <= byte <= last and one not in but)
    return "[" + "".join(map(re.escape, kept)) + "]"


# What may follow a letter in honest text: spaces, quotes, dashes, signs; and the letters that cp1252 has below 0xC0.
_AFTER_LETTERS = "\xa0\xad‘’“”‚„…–—«»‹›•™®©°²³¹ºª·§¶¡¿€£¥¢´¨¸¯ŠŒŽšœžŸ"
_CLOSING = "\xa0\xad‘’“”‚„…–—»›‹«•™"  # what follows also a capital that ends a word: AMANHÃ…
_NEXT = _class_of(_BYTES, 0x80, 0xBF)
_TELLING = _class_of(_BYTES, 0x80, 0xBF, but=_AFTER_LETTERS)
_NOT_CLOSING = _class_of(_BYTES, 0x80, 0xBF, but=_CLOSING)
_TWO = _class_of(_BYTES, 0xC2, 0xDF) + _NEXT
_THREE = _class_of(_BYTES, 0xE0, 0xEF) + _NEXT + _NEXT
_FOUR = _class_of(_BYTES, 0xF0, 0xF4) + _NEXT * 3
_ANY = f"(?:{_TWO}|{_THREE}|{_FOUR})"
_CYRILLIC_NEXT = _class_of(_CYRILLIC_BYTES, 0x80, 0xBF)
_CYRILLIC_PAIR = f"(?:[РС]{_CYRILLIC_NEXT})"  # lead bytes D0 and D1 read as cp1251
_POSSIBLE = re.compile(f"[\xc2-\xf4]{_NEXT}|[РС]{_CYRILLIC_NEXT}|вЂ|‚Ä|√")  # fast, and in all that follows
_SUSPICIOUS = re.compile(
    "|".join(
        (
            f"{_ANY}{{3,}}",
            f"{_THREE}{_ANY}",
            f"{_ANY}{_THREE}",
            f"ð[\x9fŸ]{_NEXT}{_NEXT}",  # emoji
            f"â[\x80\x84\x99\x9c€„™œ]{_NEXT}",  # quotes, dashes, bullets, ticks, notes, the trade mark
            f"(?=.{_TELLING}|..{_TELLING}){_THREE}",
            f"[ÃÎÏ]{_NOT_CLOSING}",  # é, ü, ñ, α, π: no word ends in these capitals
            "Ã[‘“„‚™•](?=\\w)",  # a quote that opens within a word
            "(?<=[a-z\\s])Ã\xa0",  # à
            "Â[\xa0¡-§©ª¬-¶¹º¼-¿]|Â«.{0,80}Â»",  # a degree or pound sign, a space that does not break, quotes
            f"(?<=[a-z])[ÂÃÄÅ]{_NEXT}",  # a capital within a word
            f"[ÃÄÅ]{_NEXT}(?=[a-z])",
            f"(?<=[a-z])[À-ÖØ-Þ]{_NEXT}(?=[a-z])",
            f"{_CYRILLIC_PAIR}{{4,}}|вЂ[™“”њќў¦]",  # UTF-8 read as cp1251: Cyrillic, quotes
            "‚Ä[ôúùìîò¶¢]|(?<=[a-z])√[^\\W\\d_a-zA-Z]|(?<=[a-z])√[©®°±≤≥≠§†´¥∂](?=[a-z])",  # read as Mac Roman
        )
    )
)
SPEAKS_OF_ENCODINGS = re.compile(r"mojibake|encod|utf-?8|unicode|latin-?1|cp1252|ftfy|charset", re.IGNORECASE)
_QUOTES = "\"'`“‘«"


def mojibake(context: CheckContext) -> Iterator[Finding]:
    """Rows with UTF-8 that was read as cp1252, Latin-1 or cp1251."""
    evidence: list[Evidence] = []
    n_found = n_rows = 0
    for seen in context.splits:
        for row in seen.rows:
            n_rows += 1
            text = next((one for _, one in texts_of(row) if misread(one)), None)
            if text is None or SPEAKS_OF_ENCODINGS.search(row.asked):
                continue
            n_found += 1
            if len(evidence) < MAX_EVIDENCE:
                begin, end, meant = misread(text)[0]
                shown = f"{excerpt(text, begin, end)} ({text[begin:end]!r} should read {meant!r})"
                evidence.append(Evidence(shown, row.number, seen.split))
    if n_found:
        yield Finding(
            "MOJIBAKE",
            severity_by_share(n_found, n_rows, error=_ERROR_SHARE),
            summary=f"{n_found} of {n_rows} rows have UTF-8 text that was read in another encoding",
            why="the model learns to write garbled characters",
            remedy="read the source as UTF-8 (`encoding='utf-8'`), or mend the columns with `ftfy.fix_text`",
            evidence=tuple(evidence),
            n_rows=n_found,
        )


def misread(text: str) -> list[tuple[int, int, str]]:
    """Places in `text` that are UTF-8 read in another encoding: begin, end, and what is meant."""
    if text.isascii() or not _POSSIBLE.search(text):
        return []
    found = ((*match.span(), _meant(match.group())) for match in _SUSPICIOUS.finditer(text))
    return [(begin, end, meant) for begin, end, meant in found if meant and not is_literal(text, begin, end)]


def _meant(characters: str) -> str | None:
    """The text whose bytes were read as `characters`, None if there is none that is written."""
    for known in (_BYTES, _CYRILLIC_BYTES, _MAC_BYTES):
        try:
            decoded = bytes(ord(one) if one.isascii() else known[one] for one in characters).decode("utf-8")
        except (KeyError, UnicodeDecodeError):
            continue
        if all(unicodedata.category(one) not in ("Cn", "Co", "Cs", "Cc") for one in decoded):
            return decoded
    return None


def is_literal(text: str, begin: int, end: int) -> bool:
    """Whether the characters stand alone between quotes: text about them, or code that looks for them."""
    return text[begin - 1 : begin] in _QUOTES and begin > 0 and text[end : end + 1] in "\"'`”’»"


CHECKS: tuple[Check, ...] = (mojibake,)
