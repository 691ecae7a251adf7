"""Split a text into words and symbols, sentences, paragraphs, list items, in linear time on any text."""

import re

_WORD = re.compile(r"\w+")
_WORD_OR_SYMBOL = re.compile(r"\w+|[^\w\s]")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|[。！？]+[」』”’]*")
_NO_SENTENCE_END = re.compile(
    r"(?:^|[\s(\"'])(?:mr|mrs|ms|dr|st|prof|vs|cf|approx|(?:[a-z]\.)*[a-z])\.$", re.IGNORECASE
)
_LONGEST_ABBREVIATION = 8
_BULLET = re.compile(r"[*+•–-](?:\s+\S|[^\s*+•–-])")
_NUMBER = re.compile(r"(?:\d{1,4}[.)]|\(\d{1,4}\))\s+\S")


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores, as in IFEval's word count; a text without spaces is one word."""
    return _WORD.findall(text)


def words_and_symbols(text: str) -> list[str]:
    """Words, and every other visible character on its own; for code as well as prose."""
    return _WORD_OR_SYMBOL.findall(text)


def n_sentences(text: str) -> int:
    """Count sentences: they end at a blank line or at . ! ? before a space, not after an abbreviation or initial."""
    return sum(map(_n_sentences_of_paragraph, paragraphs(text)))


def paragraphs(text: str) -> list[str]:
    """The parts between blank lines, stripped, without empty ones."""
    parts: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.strip():
            parts[-1].append(line)
        elif parts[-1]:
            parts.append([])
    return ["\n".join(part).strip() for part in parts if part]


def n_bullets(text: str) -> int:
    """Lines of text that begin with a bullet (* - + •); `**bold**` and a rule of dashes do not count."""
    lines = (line.lstrip() for line in text.splitlines())
    return sum(bool(_BULLET.match(line) and _WORD.search(line)) for line in lines)


def n_numbered(text: str) -> int:
    """Lines that begin with a number and a full stop or bracket, as `1.`, `2)` or `(3)`."""
    return sum(bool(_NUMBER.match(line.lstrip())) for line in text.splitlines())


def ngrams(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    """All n-grams of the tokens in order; none for fewer than `n` tokens."""
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


def _n_sentences_of_paragraph(paragraph: str) -> int:
    n, begin = 0, 0
    for end in _SENTENCE_END.finditer(paragraph):
        before = paragraph[max(begin, end.start() - _LONGEST_ABBREVIATION) : end.start() + 1]
        if end[0] == "." and end.end() < len(paragraph) and _NO_SENTENCE_END.search(before):
            continue
        n, begin = n + 1, end.end()
    return n + bool(paragraph[begin:].strip())
