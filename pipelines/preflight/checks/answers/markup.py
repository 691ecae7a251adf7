"""Checks of answers whose text was escaped or is markup: `\n` for a line break, `&amp;`, `<br>`."""

import html
import re
from collections.abc import Iterator

from data_prep.conversation.encoding import is_quoted
from data_prep.text_rules.markup import ENTITY, is_about_markup
from pipelines.preflight.check_context import CheckContext
from pipelines.preflight.checks.answers.damaged_rows import damage_finding, is_json
from pipelines.preflight.checks.evidence import Check, excerpt, rows_of_splits
from pipelines.records.finding import Finding

_ERROR_SHARE = 0.2  # of the rows: then the model writes escapes wherever it should end a line

# Code and quotations: fences, spans between backticks, strings. An escaped quotation mark opens none.
_QUOTED = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|(?<!\\)\"(?:[^\"\\\n]|\\.){0,400}\"|(?<![\w\\])'(?:[^'\\\n]|\\.){0,400}'(?!\w)|\$[^$\n]*\$",
    re.DOTALL,
)
# What stands for a line break has a line before or after it. Commands of LaTeX (\nabla), paths and patterns go on with
# small letters or signs, and an escape that is talked about has spaces around it.
_BREAK = re.compile(
    r"(?<!\\)(?:\\r)?\\[nt](?:(?=[A-Z0-9*#•\"“(>|-]|\\[nrt]|[^\x00-\x7f])|(?<=[^\s\\]\\[nt])(?=[ \n]|\Z))"
)
_INDENTED = re.compile(r"\\n(?:\\[nt]|  |[*-] |\d+\.)")
_OTHER = re.compile(
    r"(?:^|[\s(\[{:,>])\\\"[^\"\\]{1,300}\\\"(?=[\s.,;:!?)\]}<]|$)"  # \"quoted\"
    r"|[a-z]\\'[a-z]"  # don\'t
    r"|(?<![\\\[-])\\u[0-9a-fA-F]{4}(?![-\]0-9a-fA-F])"
    r"|https?:\\/\\/"
)
_ABOUT = re.compile(
    r"new ?lines?|line ?breaks?|escape|back ?slash|regex|regular expression|string|print|\bcode\b|python|java|\bc\+\+"
    r"|bash|shell|command|script|json|latex|unicode|function|program|terminal|\btabs?\b|carriage|\\",
    re.IGNORECASE,
)
_WHOLE = re.compile(r'\s*(?:"\{\\"|\{\s*\\"|\[\s*\{?\s*\\")')  # JSON that was written as JSON once more


def escaped_answers(context: CheckContext) -> Iterator[Finding]:
    """ANSWERS_ESCAPED: a backslash and n where a line should end, and other escapes of JSON and of string literals."""
    yield from damage_finding(
        "ANSWERS_ESCAPED", context, escape_in,
        what=r"have escapes such as \n for characters",
        why="the model learns to write a backslash and a letter instead of a line break or a quotation mark",
        remedy="decode the column once more (`json.loads`, or `text.replace('\\\\n', '\\n')`), or remove these rows",
        error=_ERROR_SHARE,
    )  # fmt: skip


def escape_in(asked: str, answer: str) -> str | None:
    """An excerpt of `answer` at its first escape that stands for a character, None without one."""
    if "\\" not in answer:
        return None
    if _WHOLE.match(answer):
        return excerpt(answer, 0, 20)
    if answer.lstrip()[:1] in ("{", "[") and is_json(answer):
        return None
    text = _QUOTED.sub(" ", answer)
    breaks = list(_BREAK.finditer(text))
    n_lines = text.strip().count("\n")
    is_about = _ABOUT.search(asked) is not None
    is_lines = n_lines == 0 and len(breaks) > 1 and _INDENTED.search(text) is not None
    is_broken = len(breaks) > n_lines and (is_lines or not is_about)
    found = breaks[0] if is_broken else None if is_about else _OTHER.search(text)
    return None if found is None else excerpt(text, *found.span())


_WANTED_SHARE = 0.5  # of those that were not asked for

# Tags of prose. What is asked for as HTML has others too, or the prompt says so.
_TAG = re.compile(
    r"<(?:br\s*/?|/?(?:p|div|span|b|i|u|em|strong|font|center|ul|ol|li|h[1-6]|blockquote|td|tr)(?:\s[^<>]{0,200})?"
    r"|a\s+href[^<>]{0,300}|img\s[^<>]{0,300})>",
    re.IGNORECASE,
)
_WANTED = re.compile(
    r"<(?:!doctype|html|head|body|form|input|button|script|style|svg|nav|header|section|\?xml)\b", re.I
)


def markup_in_answers(context: CheckContext) -> Iterator[Finding]:
    """MARKUP_IN_ANSWERS: entities such as &amp; and tags such as <br> in answers that are not about markup."""
    texts = [(row.asked, one) for _, row in rows_of_splits(context) for one in row.answers if "<" in one or "&" in one]
    n_damaged = sum(markup_in(asked, one) is not None for asked, one in texts)
    n_asked_for = sum(is_about_markup(asked) and _first_in(one) is not None for asked, one in texts)
    if n_asked_for > _WANTED_SHARE * n_damaged:  # a set about web pages, whose requests do not always say so
        return
    yield from damage_finding(
        "MARKUP_IN_ANSWERS", context, markup_in,
        what="have HTML entities or tags in their text",
        why="the model learns to write &amp; and <br>, which readers see as they are",
        remedy="read the source with an HTML parser, decode the column with `html.unescape`, or remove these rows",
    )  # fmt: skip


def markup_in(asked: str, answer: str) -> str | None:
    """An excerpt of `answer` at its first entity or tag of HTML that was not asked for, None without one."""
    found = _first_in(answer)
    if found is None or found.group() in asked or is_quoted(answer, *found.span()) or _WANTED.search(answer):
        return None
    if is_about_markup(asked) or is_about_markup(_TAG.sub(" ", answer)):
        return None
    line = answer[answer.rfind("\n", 0, found.start()) + 1 : found.start()]
    is_cell = found.group().startswith("<") and line.lstrip().startswith("|")  # a line break in a table of Markdown
    return None if is_cell else excerpt(answer, *found.span())


def _first_in(answer: str) -> re.Match[str] | None:
    entity = next(filter(_is_entity, ENTITY.finditer(answer)), None) if "&" in answer and ";" in answer else None
    return entity or (_TAG.search(answer) if "<" in answer and ">" in answer else None)


def _is_entity(match: re.Match[str]) -> bool:
    return html.unescape(match.group()) != match.group()


CHECKS: tuple[Check, ...] = (escaped_answers, markup_in_answers)
