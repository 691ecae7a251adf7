"""A check for columns with text that belongs to the task and that nothing reads.

A column counts as read if its text is in what is read. Names that datasets give to a part of the request are enough for
a warning. Any other column of text must prove that the answers depend on it: they have words that are not in their
prompts, and the row's own text has more of these than another row's.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.conversation import CONVERSATION_COLUMNS, content_text, thought_of
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import Check, head, kept_rows, row_evidence, share_of
from pipelines.records.finding import Finding, Severity

# Names of parts of the request or of the answer's reasoning. Columns named otherwise are metadata more often than not.
_PARTS = (
    "system", "system_prompt", "system_message", "persona", "profile", "character", "scenario", "context", "contexts",
    "input", "inputs", "history", "tools", "functions", "schema", "table", "passage", "passages", "paragraph",
    "document", "documents", "article", "transcript", "background", "knowledge", "evidence", "facts", "hint",
    "thinking", "thought", "thoughts", "reasoning", "reasoning_content", "chain_of_thought", "cot", "question", "query",
    "instruction", "answer", "response", "completion", "output",
)  # fmt: skip
# Metadata, and what somebody wrote about the answer or instead of it.
_NEVER = re.compile(
    r"(?:^|_)(?:id|ids|uid|uuid|idx|index|key|hash|sha\d*|md5|url|uri|link|path|file|filename|source|dataset|origin|split"
    r"|lang|language|locale|license|date|time|timestamp|created|model|category|type|task|label|tag|tags|topic|keywords"
    r"|group|score|scores|rating|ratings|reward|embedding|tokens|metadata|meta|chosen|rejected|name|title|author|user"
    r"|summary|notes?|comments?|feedback|critique|reviews?|explanation|rationale|translation|references?|gold|expected)$"
    r"|answer|response|reply|replies|output|completion|candidate|generat|predict|draft|original|raw|edited|revis|correct"
)
_MIN_SHARE, _MIN_ROWS = 0.02, 3  # of the rows have text there
_MIN_CHARACTERS = 8  # on average, of a column that is named as a part: shorter ones are labels and numbers
_MIN_WORDS = 6  # on average, of any other column: prose
_N_COMPARED = 200
_COPIED = 0.8  # of the compared rows, or of a text's words
_DEPENDS, _BY_CHANCE = 0.35, 0.2  # of the words that only answer and column share; by which they exceed another row's
_OWN, _OTHER = 0.6, 0.1  # of the rows have more of these words than another row, or less
_MUCH, _DISTINCT = 0.1, 0.3  # of all characters; of the texts: from there a column of any name is mentioned
_WORD = re.compile(r"[^\W\d_]{4,}|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2}")


@dataclass(frozen=True)
class _Column:
    name: str
    texts: Sequence[tuple[SampledRow, str]]  # rows with a text there, and the text

    @property
    def n_characters(self) -> int:
        return sum(len(text) for _, text in self.texts)

    @property
    def is_named_as_part(self) -> bool:
        return _plain(self.name) in _PARTS


def unread_text(context: CheckContext) -> Iterator[Finding]:
    """TEXT_NOT_READ: a column with a part of the request, the reasoning or the answer that is not trained on."""
    if context.stage is Stage.PRETRAIN:
        return
    rows = kept_rows(context)
    found = [column for name in context.train.columns if (column := _unread(context, name, rows))]
    needed = {column.name: depends for column in found if (depends := _dependence(column)) or column.is_named_as_part}
    n_read = sum(len(row.asked) + sum(map(len, row.answers)) for row in rows)
    n_all = n_read + sum(column.n_characters for column in found)
    shown = [one for one in found if one.name in needed] or [one for one in found if _is_much(one, n_all)]
    if not shown:
        return
    largest = max(shown, key=lambda column: column.n_characters)
    yield Finding(
        "TEXT_NOT_READ",
        Severity.WARNING if needed else Severity.NOTE,
        summary="; ".join(_described(column, len(rows), n_all, needed.get(column.name)) for column in shown),
        why="the model is asked without it, so it learns to guess what it should have read",
        remedy=_remedy(context, shown),
        evidence=row_evidence(
            [row for row, _ in largest.texts],
            lambda row: f"{largest.name}: {head(_text(row.values[largest.name]), 60)} | prompt: {head(row.asked, 50)}",
        ),
        n_rows=len(largest.texts),
    )


def _described(column: _Column, n_rows: int, n_all: int, depends: str | None) -> str:
    share = column.n_characters / max(1, n_all)
    return (
        f"{column.name} is not read: {share_of(len(column.texts), n_rows)} rows have text there, {share:.1%} of all "
        f"characters{f', and {depends}' if depends else ''}"
    )


def _remedy(context: CheckContext, columns: Sequence[_Column]) -> str:
    names = " and ".join(f"`{column.name}`" for column in columns)
    if "instruction" in context.train.columns and len(columns) == 1:
        how = f"rename {names} to `input`, which is read after the instruction (`system` before it)"
    elif any(name in CONVERSATION_COLUMNS for name in context.train.columns):
        how = f"put {names} into the messages of the row, as its system turn or before the user's question"
    else:
        how = f"put {names} into the prompt of the row"
    return f"{how}, or remove the column if the answers do not need it"


def _unread(context: CheckContext, name: str, rows: Sequence[SampledRow]) -> _Column | None:
    """A column with text in enough rows that is not in what is read, None for any other."""
    plain = _plain(name)
    is_part = plain in _PARTS
    if plain in CONVERSATION_COLUMNS or (not is_part and _NEVER.search(plain)) or _is_read(context, name):
        return None
    texts = [(row, text) for row in rows if (text := _text(row.values.get(name)).strip())]
    if len(texts) < max(_MIN_ROWS, _MIN_SHARE * len(rows)):
        return None
    column = _Column(name, texts)
    some = _some(texts)
    if not (_is_long(some) if is_part else _is_prose(some)):
        return None
    return None if sum(_is_copy(row, text, is_part) for row, text in some) >= _COPIED * len(some) else column


def _is_read(context: CheckContext, name: str) -> bool:
    """Whether the column's values reach the template in another form than text."""
    return name in ("tools", "chat_template_kwargs") and context.is_conversational


def _is_much(column: _Column, n_all: int) -> bool:
    n_distinct = len({text for _, text in column.texts})
    return column.n_characters >= _MUCH * n_all and n_distinct >= _DISTINCT * len(column.texts)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")


def _text(value: Any) -> str:
    """The text of a value: of a list or an object all texts in it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return "\n".join(filter(None, map(_text, value)))
    return "\n".join(filter(None, map(_text, value.values()))) if isinstance(value, dict) else ""


def _some(texts: Sequence[tuple[SampledRow, str]]) -> Sequence[tuple[SampledRow, str]]:
    return texts[:: max(1, len(texts) // _N_COMPARED)]


def _is_long(texts: Sequence[tuple[SampledRow, str]]) -> bool:
    return sum(len(text) for _, text in texts) >= _MIN_CHARACTERS * len(texts)


def _is_prose(texts: Sequence[tuple[SampledRow, str]]) -> bool:
    n_words = sum(len(_WORD.findall(text[:500])) for _, text in texts)
    return n_words >= _MIN_WORDS * len(texts)


def _is_copy(row: SampledRow, text: str, is_part: bool) -> bool:
    """Whether a text has nothing that is not read: it is in the row, has the whole row in it, or is another answer."""
    texts = [row.asked, *row.answers, *map(content_text, row.messages), *map(thought_of, row.messages)]
    read = " ".join("\n".join(texts).split()).casefold()
    given = " ".join(text.split()).casefold()
    if given in read:
        return True
    words, known = set(_WORD.findall(given)), set(_WORD.findall(read))
    if not is_part and words and len(words & known) >= _COPIED * len(words) and len(given) < 2 * len(read):
        return True
    answer, asked = (set(_WORD.findall(part.casefold())) for part in (" ".join(row.answers), row.asked))
    has_answer = len(answer & words) >= _COPIED * len(answer)
    has_row = has_answer and len(asked & words) >= _COPIED * len(asked)
    return not is_part and (has_row or (has_answer and len(given) < 2 * sum(map(len, row.answers))))


def _dependence(column: _Column) -> str | None:
    """What shows that the answers depend on the column: a figure, or None."""
    some = _some(column.texts)
    words = [set(_WORD.findall(text.casefold())) for _, text in some]
    shares: list[tuple[float, float]] = []  # of a row's missing words, in its own text and in another row's
    n_longer = 0
    for place, (row, text) in enumerate(some):
        answer = " ".join(row.answers).casefold()
        missing = set(_WORD.findall(answer)) - set(_WORD.findall(row.asked.casefold()))
        n_longer += len(text) > len(answer)
        if missing:
            others = words[place - 1 - len(some) // 2]
            shares.append((len(missing & words[place]) / len(missing), len(missing & others) / len(missing)))
    if not shares:
        return None
    mean, by_chance = (sum(of) / len(shares) for of in zip(*shares, strict=True))
    has_much = mean >= _DEPENDS and mean - by_chance >= _BY_CHANCE and n_longer >= len(some) / 2
    n_own, n_other = sum(a > b for a, b in shares), sum(a < b for a, b in shares)
    # names and figures are few of the words; a text with many of them that is no longer is another answer
    has_names = mean < _DEPENDS and n_own >= _OWN * len(shares) and n_other <= _OTHER * len(shares)
    if not has_much and not has_names:
        return None
    return f"{mean:.0%} of the answers' words that their prompts do not have are in it ({by_chance:.0%} by chance)"


CHECKS: tuple[Check, ...] = (unread_text,)
