"""Read Markdown files: a heading that asks a question with the text below it is a row, and so is a Q: with its A:."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from data_prep.dataset_folder import RejectedRow
from data_prep.sources.file_formats.markdown_lines import BOLD, Q_AND_A, MarkedLine, is_navigation, marked_lines
from data_prep.sources.raw_rows import group_of_question, same_as_of
from data_prep.sources.rows import Item, SourceRow
from data_prep.sources.walk import read_utf8

_ANSWERS = re.compile(r"\s{0,3}[*_]{0,2}(?:A|Answer)(?:\s?\d+[.:)]|:)[*_]{0,2}:?\s+")
_NUMBER = re.compile(r"(?:\d+(?:\.\d+)*[.):]|[-*•])\s+")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKUP = re.compile(r"</?(?:a|b|strong|i|em|code|span|u|h[1-6])\b[^<>]*>|\{#[\w-]+\}")
_INTERROGATIVES = {
    "what", "what's", "which", "who", "who's", "whose", "why", "when", "where", "how", "is", "are", "was", "were", "do",
    "does", "did", "can", "could", "should", "will", "would", "has", "have", "may", "must",
}  # fmt: skip
_ASKING_SHARE = 0.75  # of the headings of one level: then those without a question mark ask as well


@dataclass
class _Section:
    """A question (`question` is empty for a heading that asks nothing) and the lines below it."""

    line: int
    level: int
    question: str
    waits_for_answer: bool  # after a Q: until its A:
    lines: list[str] = field(default_factory=list)


def questions_of_markdown_file(path: Path, root: Path, source: str) -> list[Item]:
    """Return each question of one file with its answer; a heading that asks nothing is a reason."""
    relative = path.relative_to(root).as_posix()
    text = read_utf8(path)
    if text is None:
        return [RejectedRow(source, relative, "not_utf8")]
    sections = list(_sections(list(marked_lines(text))))
    if not sections:
        return [RejectedRow(source, relative, "no_question")]
    return [_item(section, source, f"{relative}:{section.line}") for section in sections]


def _item(section: _Section, source: str, source_row: str) -> Item:
    if not section.question:
        return RejectedRow(source, source_row, "heading_asks_nothing")
    answer = _answer(section.lines)
    if not answer or section.waits_for_answer:
        return RejectedRow(source, source_row, "question_without_answer")
    asked = section.question.strip("*_ ") if section.level >= BOLD else section.question
    fields = {"instruction": asked, "input": "", "output": answer}
    return SourceRow(fields, source, source_row, group_of_question(fields), same_as_of(fields))


def _sections(lines: Sequence[MarkedLine]) -> Iterator[_Section]:
    """Yield the headings and Q:s of a file in order.

    The text of a question ends at the next heading that is not below it, or that asks itself; a heading below it that
    asks nothing is part of its answer.
    """
    asking = _asking_levels(lines)
    section: _Section | None = None
    for line in lines:
        question = _question(line.title, line.level, asking)
        is_mark = line.level and (question or line.level < BOLD)
        is_part = section is not None and section.question and not question and line.level > section.level
        if is_mark and not is_part:
            if section is not None:
                yield section
            section = _Section(line.number, line.level, question, line.level == Q_AND_A)
        elif section is not None:
            _add_line(section, line.text)
    if section is not None:
        yield section


def _asking_levels(lines: Sequence[MarkedLine]) -> set[int]:
    """Return the levels of which most headings ask something, with or without a question mark."""
    headings = [line for line in lines if 0 < line.level < BOLD]
    n_all = Counter(line.level for line in headings)
    n_asking = Counter(line.level for line in headings if _asks(_plain(line.title)))
    return {level for level in n_asking if n_asking[level] > 1 and n_asking[level] >= _ASKING_SHARE * n_all[level]}


def _asks(title: str) -> bool:
    words = title.split(maxsplit=2)
    return _ends_as_question(title) or (len(words) > 1 and words[0].lower() in _INTERROGATIVES)


def _ends_as_question(title: str) -> bool:
    return title.rstrip("*_ `").endswith(("?", "？"))


def _question(title: str, level: int, asking: set[int]) -> str:
    """The question of a heading as plain text, empty if it asks nothing."""
    plain = _plain(title)
    is_question = level == Q_AND_A or _ends_as_question(plain) or (level in asking and _asks(plain))
    return plain if level and is_question else ""


def _plain(title: str) -> str:
    plain = _MARKUP.sub("", _LINK.sub(r"\1", title)).replace("**", "").replace("__", "").strip()
    return _NUMBER.sub("", plain, count=1).strip()


def _add_line(section: _Section, line: str) -> None:
    answers = _ANSWERS.match(line) if section.waits_for_answer or not any(map(str.strip, section.lines)) else None
    if section.waits_for_answer and answers is None:
        section.question = " ".join(filter(None, (section.question, line.strip())))
        return
    section.waits_for_answer = False
    section.lines.append(line[answers.end() :] if answers else line)


def _answer(lines: list[str]) -> str:
    while lines and (not lines[-1].strip() or is_navigation(lines[-1])):
        lines.pop()
    while lines and (not lines[0].strip() or is_navigation(lines[0])):
        lines.pop(0)
    return dedent("\n".join(lines)).strip("\n").rstrip()
