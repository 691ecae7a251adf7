"""The lines of a Markdown file: headings with their level, lines that begin a question, text and code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# levels below all headings
BOLD = 7  # a line that is bold from start to end, or a <summary>
Q_AND_A = 8  # Q: or **Q1.** or Question 2:

_LONGEST_TITLE = 1000
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
# a heading may be the text of a list item
_HEADING = re.compile(r"(?: {0,3}|\s*(?:\d+[.)]|[-*+])[ \t]+)(#{1,6})[ \t]+(\S.*)")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_BOLD = re.compile(r"\s{0,3}(?:\d+[.)]\s+|[-*+]\s+)?(\*\*|__)(.+)\1[:\s]*$")
_Q = re.compile(r"\s{0,3}(?:#{1,6}\s+)?[*_]{0,2}(?:Q|Question)(?:\s?\d+[.:)]|:)[*_]{0,2}:?\s+(?=\S)")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_SUMMARY = re.compile(r"\s{0,3}(?:<details>)?<summary>([^\n]+)</summary>$")
# a line that only leads back to the top of the page, a rule, or a tag around a section
_NAVIGATION = re.compile(
    r"[*_]*\[[^\]]*\]\(#[^)]*\)[*_]*|-{3,}|\*{3,}|_{3,}|(?:</?(?:details|summary|p|div|center|br)\b[^<>]*>)+"
)


@dataclass(frozen=True)
class MarkedLine:
    """A line with its number. `level` is 1 to 6 for a heading, `BOLD`, `Q_AND_A`, or 0 for text and code."""

    number: int
    text: str
    title: str = ""
    level: int = 0


def is_navigation(line: str) -> bool:
    """Whether a line says nothing: a link to the top of the page, a rule, a tag around a section."""
    return _NAVIGATION.fullmatch(line.strip()) is not None


def marked_lines(text: str) -> Iterator[MarkedLine]:
    """Yield the lines of a file, without its front matter."""
    front = _FRONT_MATTER.match(text)
    skipped = text[: front.end()].count("\n") if front else 0
    lines = text.split("\n")
    fence = ""
    place = skipped
    while place < len(lines):
        line, number = lines[place], place + 1
        place += 1
        mark = _FENCE.match(line)
        if fence or mark:
            yield MarkedLine(number, line)
            if mark:
                fence = "" if fence and line.strip().startswith(fence) else fence or mark[1]
            continue
        underline = _UNDERLINE.match(lines[place]) if place < len(lines) and line.strip() else None
        is_alone = place < 2 or not lines[place - 2].strip()
        if underline and is_alone and not is_navigation(line):
            level = 1 if underline[1][0] == "=" else 2
            yield MarkedLine(number, f"{'#' * level} {line}", line.strip(), level)
            place += 1
        else:
            yield _marked(number, line)


def _marked(number: int, line: str) -> MarkedLine:
    if len(line) > _LONGEST_TITLE:
        return MarkedLine(number, line)
    if asks := _Q.match(line):
        return MarkedLine(number, line, line[asks.end() :], Q_AND_A)
    if heading := _HEADING.match(line):
        title = heading[2].rstrip()
        return MarkedLine(number, line, title.rstrip("#").rstrip() or title, len(heading[1]))
    if summary := _SUMMARY.match(line.rstrip()):
        return MarkedLine(number, line, summary[1], BOLD)
    if bold := _BOLD.match(line):
        return MarkedLine(number, line, bold[2], BOLD)
    return MarkedLine(number, line)
