"""Read Markdown files: a heading that asks a question with the text below it is a row, and so is a Q: with its A:."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.dataset_folder import RejectedRow
from data_prep.sources.rows import Item, SourceRow, digest, group_of_text, normalized
from data_prep.sources.walk import read_utf8

_LEVEL_OF_Q = 7  # below all headings
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
# Q: or **Q1.** or Question 2:
_ASKS = re.compile(r"\s{0,3}[*_]{0,2}(?:Q|Question)(?:\s?\d+[.:)]|:)[*_]{0,2}:?\s+(?=\S)")
_ANSWERS = re.compile(r"\s{0,3}[*_]{0,2}(?:A|Answer)(?:\s?\d+[.:)]|:)[*_]{0,2}:?\s+")
_NUMBER = re.compile(r"(?:\d+(?:\.\d+)*[.):]?|[-*•])\s+")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_ANCHOR = re.compile(r"<a\b[^>]*>|</a>|\{#[\w-]+\}")
# a line that only leads back to the top of the page, or a rule
_NAVIGATION = re.compile(r"\s*(?:[*_\s]*\[[^\]]*\]\(#[^)]*\)[*_\s]*|-{3,}|\*{3,}|_{3,})\s*$")


@dataclass
class _Section:
    """A question (`question` is empty for a heading that asks nothing) and the lines below it."""

    line: int
    level: int  # of the heading, or of a Q:
    title: str
    question: str
    lines: list[str] = field(default_factory=list)
    waits_for_answer: bool = False  # after a Q: until its A:


def questions_of_markdown_file(path: Path, root: Path, source: str) -> list[Item]:
    """Return each question of one file with its answer; a heading that asks nothing is a reason."""
    relative = path.relative_to(root).as_posix()
    text = read_utf8(path)
    if text is None:
        return [RejectedRow(source, relative, "not_utf8")]
    sections = list(_sections(text))
    if not sections:
        return [RejectedRow(source, relative, "no_question")]
    return [_item(section, source, f"{relative}:{section.line}") for section in sections]


def _item(section: _Section, source: str, source_row: str) -> Item:
    if not section.question:
        return RejectedRow(source, source_row, "heading_asks_nothing")
    answer = _answer(section.lines)
    if not answer or section.waits_for_answer:
        return RejectedRow(source, source_row, "question_without_answer")
    asked = section.question.strip("*_ ") if section.level == _LEVEL_OF_Q else section.question
    fields = {"instruction": asked, "input": "", "output": answer}
    same_as = digest("\0".join(normalized(text) for text in fields.values()))
    return SourceRow(fields, source, source_row, group_of_text(asked), same_as)


def _sections(text: str) -> Iterator[_Section]:
    """Yield the headings and Q:s of a file in order. The text of a question ends at the next heading that is not below
    it or asks itself; a heading below it that asks nothing is part of its answer."""
    front = _FRONT_MATTER.match(text)
    skipped = text[: front.end()].count("\n") if front else 0
    section: _Section | None = None
    for number, line, title, level in _marked_lines(text.split("\n")[skipped:], skipped + 1):
        question = _question(title, level)
        is_part = section is not None and section.question and level > section.level and not question
        if level and not is_part:
            if section is not None:
                yield section
            section = _Section(number, level, title, question, waits_for_answer=level == _LEVEL_OF_Q)
        elif section is not None:
            _add_line(section, line)
    if section is not None:
        yield section


def _add_line(section: _Section, line: str) -> None:
    answers = _ANSWERS.match(line) if section.level == _LEVEL_OF_Q or not any(map(str.strip, section.lines)) else None
    if section.waits_for_answer and answers is None:
        section.question = " ".join(filter(None, (section.question, line.strip())))
        return
    section.waits_for_answer = False
    section.lines.append(line[answers.end() :] if answers else line)


def _marked_lines(lines: list[str], first: int) -> Iterator[tuple[int, str, str, int]]:
    """Yield (number, line, title, level): level 0 is text and code."""
    fence = ""
    skip_underline = False
    for place, line in enumerate(lines):
        number = place + first
        if skip_underline:
            skip_underline = False
            continue
        mark = _FENCE.match(line)
        if fence or mark:
            if mark:
                fence = "" if fence and line.strip().startswith(fence) else fence or mark[1]
            yield number, line, "", 0
            continue
        heading = _HEADING.match(line)
        underline = _UNDERLINE.match(lines[place + 1]) if place + 1 < len(lines) and line.strip() else None
        if heading:
            yield number, line, heading[2], len(heading[1])
        elif underline and (place == 0 or not lines[place - 1].strip()) and not _NAVIGATION.match(line):
            skip_underline = True
            yield (
                number,
                f"{'#' if underline[1][0] == '=' else '##'} {line}",
                line.strip(),
                1 + (underline[1][0] == "-"),
            )
        elif asks := _ASKS.match(line):
            yield number, line, line[asks.end() :], _LEVEL_OF_Q
        else:
            yield number, line, "", 0


def _question(title: str, level: int) -> str:
    """The question of a heading as plain text, empty if it asks nothing."""
    plain = _ANCHOR.sub("", _LINK.sub(r"\1", title)).replace("**", "").replace("__", "").strip()
    asks = _ASKS.match(plain)
    plain = _NUMBER.sub("", plain[asks.end() :] if asks else plain, count=1).strip()
    if plain.startswith("_") and plain.endswith("_"):
        plain = plain.strip("_")
    return plain if asks or level == _LEVEL_OF_Q or plain.rstrip("*_ ").endswith(("?", "？")) else ""


def _answer(lines: list[str]) -> str:
    while lines and (not lines[-1].strip() or _NAVIGATION.match(lines[-1])):
        lines.pop()
    while lines and (not lines[0].strip() or _NAVIGATION.match(lines[0])):
        lines.pop(0)
    return "\n".join(lines).strip("\n").rstrip()
