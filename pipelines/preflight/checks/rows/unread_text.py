"""A check for columns with text that belongs to the task and that nothing reads.

A column counts as read if its text is in what is read. Names that datasets give to a part of the request are enough for
a warning. Any other column of text must prove that the answers depend on it: they have words that are not in their
prompts, and the row's own text has more of these than another row's.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.conversation import CONVERSATION_COLUMNS, content_text
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import Check, head, row_evidence, share_of
from pipelines.records.finding import Finding, Severity
from pipelines.training.data.ledger import RowFate

# Names of parts of the request or of the answer's reasoning. Columns named otherwise are metadata more often than not.
_PARTS = (
    "system", "system_prompt", "system_message", "context", "contexts", "input", "inputs", "history", "tools",
    "functions", "passage", "passages", "document", "documents", "article", "background", "knowledge", "thinking",
    "thought", "thoughts", "reasoning", "reasoning_content", "chain_of_thought", "cot", "question", "query",
    "instruction", "answer", "response", "completion", "output",
)  # fmt: skip
_NEVER = re.compile(
    r"(^|_)(id|ids|uid|uuid|idx|index|key|hash|sha\d*|md5|url|uri|link|path|file|filename|source|dataset|origin|split"
    r"|lang|language|locale|license|date|time|timestamp|created|model|category|type|task|label|tag|tags|topic|group"
    r"|score|scores|rating|ratings|reward|embedding|tokens|metadata|meta|chosen|rejected|name|title|author|user)$"
)
_MIN_SHARE, _MIN_ROWS = 0.02, 3  # of the rows have text there
_MIN_CHARACTERS = 8  # on average, of a column that is named as a part: shorter ones are labels and numbers
_MIN_WORDS, _MIN_DISTINCT = 6, 0.3  # on average, of any other column: prose, and not the same in every row
_N_COMPARED = 200
_COPIED = 0.8  # of the compared rows, or of a text's words
_DEPENDS, _BY_CHANCE = 0.35, 0.2  # of the words that only answer and column share; by which they exceed another row's
_MUCH = 0.1  # of all characters, from which an unread column without a known name is mentioned
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
    rows = [row for row in context.train.rows if row.fate is not RowFate.DROPPED]
    found = [column for name in context.train.columns if (column := _unread(context, name, rows))]
    needed = {column.name: depends for column in found if (depends := _dependence(column)) or column.is_named_as_part}
    n_read = sum(len(row.asked) + sum(map(len, row.answers)) for row in rows)
    n_all = n_read + sum(column.n_characters for column in found)
    shown = [one for one in found if one.name in needed] or [one for one in found if one.n_characters >= _MUCH * n_all]
    if not shown:
        return
    largest = max(shown, key=lambda column: column.n_characters)
    yield Finding(
        "TEXT_NOT_READ",
        Severity.WARNING if needed else Severity.NOTE,
        summary="; ".join(_described(column, len(rows), n_all, needed.get(column.name)) for column in shown),
        why="the model is asked without it, so it learns to guess what it should have read",
        remedy=_remedy(context, shown) if needed else "name these columns in data_prep if the answers need them",
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
    names = [column.name for column in columns]
    if any(_plain(name) in ("context", "input", "passage", "document", "article") for name in names):
        name = next(name for name in names if _plain(name) in ("context", "input", "passage", "document", "article"))
        how = f"put `{name}` into the prompts of its rows"
        if context.stage is Stage.SFT and "instruction" in context.train.columns:
            how = f"rename `{name}` to `input`, which is read after the instruction"
    else:
        how = f"put {', '.join(f'`{name}`' for name in names)} into the messages of their rows"
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
    return n_words >= _MIN_WORDS * len(texts) and len({text for _, text in texts}) >= _MIN_DISTINCT * len(texts)


def _is_copy(row: SampledRow, text: str, is_part: bool) -> bool:
    """Whether a text has nothing that is not read: it is in the row, has the whole row in it, or is another answer."""
    read = " ".join("\n".join([row.asked, *row.answers, *map(content_text, row.messages)]).split()).casefold()
    given = " ".join(text.split()).casefold()
    if given in read:
        return True
    words, known = set(_WORD.findall(given)), set(_WORD.findall(read))
    if words and len(words & known) >= _COPIED * len(words) and len(given) < 2 * len(read):
        return True
    answer = set(_WORD.findall(" ".join(row.answers).casefold()))
    asked = set(_WORD.findall(row.asked.casefold()))
    has_answer = len(answer & words) >= _COPIED * len(answer)
    has_row = has_answer and len(asked & words) >= _COPIED * len(asked)
    return has_row or (not is_part and has_answer and len(given) < 2 * sum(map(len, row.answers)))


def _dependence(column: _Column) -> str | None:
    """What shows that the answers depend on the column: a figure, or None."""
    some = _some(column.texts)
    words = [set(_WORD.findall(text.casefold())) for _, text in some]
    own, others, n_longer = [], [], 0
    for place, (row, text) in enumerate(some):
        answer = " ".join(row.answers).casefold()
        missing = set(_WORD.findall(answer)) - set(_WORD.findall(row.asked.casefold()))
        n_longer += len(text) > len(answer)
        if missing:
            own.append(len(missing & words[place]) / len(missing))
            others.append(len(missing & words[place - 1 - len(some) // 2]) / len(missing))
    if not own or n_longer < len(some) / 2:
        return None
    mean, by_chance = sum(own) / len(own), sum(others) / len(others)
    if mean < _DEPENDS or mean - by_chance < _BY_CHANCE:
        return None
    return f"{mean:.0%} of the answers' words that their prompts do not have are in it ({by_chance:.0%} by chance)"


CHECKS: tuple[Check, ...] = (unread_text,)
