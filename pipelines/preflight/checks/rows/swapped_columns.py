"""A check for swapped columns.

A row is reversed if the answer reads like a request, the request does not, and the request is longer. One such row
proves nothing: an assistant may ask back, and writing a question about a text is a task. So the whole set counts, and
questions alone never make an error: an answer must be a command ("Write a poem").
"""

import re
from collections.abc import Iterator

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import Check, head, row_evidence
from pipelines.records.finding import Finding, Severity

# Share of reversed rows by these rules: 0 to 0.7% of real sets, 17 to 63% of the same sets with swapped columns.
_WHOLE_SHARE = 0.15
_PART_SHARE = 0.1
_MIN_ROWS = 8  # fewer reversed rows are chance
_TIMES_AS_MANY = 4  # reversed rows as rows in order, for an error
_COMMAND_SHARE = 0.2  # of the reversed rows must be commands; sets of questions to write have none
_MIN_VERBS = 3
_LONGEST_REQUEST = 600  # characters of an answer that may be a request

# Verbs that start requests to an assistant, but rarely a commit message, a headline or a step of a recipe.
_COMMAND = re.compile(
    r"(?:please |kindly )?(write|explain|describe|summari[sz]e|tell|give|list|name|suggest|compose|generate|provide"
    r"|classify|categori[sz]e|translate|rewrite|rephrase|paraphrase|discuss|outline|identify|compare|come up with"
    r"|can you|could you|would you|help me|i want you|i need you|how do i|how can i"
    r"|schreibe?|erkläre?|beschreibe?|nenne|gib|fasse|übersetze?|liste|écri[sv]e?z?|rédige[rz]?|explique[rz]?|décri[sv]e?z?"
    r"|donne[rz]?|résume[rz]?|traduis|escribe|explica|describe|resume|traduce|genera|nombra|dame"
    r"|напиши(?:те)?|объясни(?:те)?|опиши(?:те)?|назови(?:те)?|переведи(?:те)?|составь(?:те)?)\b"
    r"|(请|写一|解释|描述|列出|翻译|总结|给出|生成(?!的)|编写|撰写)",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"(?:what|how|why|who|whom|whose|which|when|where|is|are|do|does|did|can|could|should|was|were|will|if|in|given"
    r"|was|wie|warum|wer|welche[rs]?|wann|wo|qu['’]|que|quel|quelle|comment|pourquoi|qui|où|qué|cómo|por qué|quién"
    r"|cuál|dónde|cuándo|что|как|почему|кто|где|когда|какой|какая|какие)\b|¿",
    re.IGNORECASE,
)
_OPENING = re.compile(r"[\s\"'“”‘’«»*#>\-(\[]*(?:\d+[.)] )?")


def swapped_columns(context: CheckContext) -> Iterator[Finding]:
    """SWAPPED_COLUMNS: the answers are requests and the requests are answers."""
    if context.stage is not Stage.SFT or not context.is_conversational:
        return
    rows = [row for row in context.train.rows if row.answers and row.messages]
    reversed_rows = [row for row in rows if _is_reversed(row)]
    verbs = [verb for row in reversed_rows if (verb := _command(row.answers[0]))]
    is_mixed = len(verbs) >= _COMMAND_SHARE * len(reversed_rows) and len(set(verbs)) >= _MIN_VERBS
    if len(reversed_rows) < max(_MIN_ROWS, _PART_SHARE * len(rows)) or not is_mixed:
        return
    n_in_order = sum(_asks(_request(row)) and not _asks(row.answers[0]) for row in rows)
    is_whole = len(reversed_rows) >= max(_WHOLE_SHARE * len(rows), _TIMES_AS_MANY * n_in_order)
    yield Finding(
        "SWAPPED_COLUMNS",
        Severity.ERROR if is_whole else Severity.WARNING,
        summary=f"in {len(reversed_rows)} of {len(rows)} rows the answer is a request and the request reads like an "
        f"answer; {n_in_order} rows are the right way round",
        why="the model learns to ask what it should answer",
        remedy="swap the columns with `python data_prep/build_instructions.py --column_map "
        "instruction=output,output=instruction`, or the roles of these conversations",
        evidence=row_evidence(
            reversed_rows, lambda row: f"prompt: {head(_request(row), 60)} | answer: {head(row.answers[0], 60)}"
        ),
        n_rows=len(reversed_rows),
    )


def _is_reversed(row: SampledRow) -> bool:
    asked, answer = _request(row), row.answers[0].strip()
    if len(answer) > _LONGEST_REQUEST or len(asked) <= len(answer):
        return False
    return _asks(answer) and not _asks(asked) and not _asks_anywhere(asked)


def _request(row: SampledRow) -> str:
    """The first user turn; a system prompt is the same in every row."""
    return next((str(one.get("content") or "") for one in row.messages if one["role"] == "user"), row.asked).strip()


def _asks(text: str) -> bool:
    return _command(text) is not None or _questions(text)


def _command(text: str) -> str | None:
    """The verb at the start of a request."""
    match = _COMMAND.match(text, _begin(text))
    return match.group().lower() if match else None


def _questions(text: str) -> bool:
    text = text.strip()
    return text.endswith(("?", "？", "؟")) and (_QUESTION.match(text, _begin(text)) is not None or not text.isascii())


def _begin(text: str) -> int:
    match = _OPENING.match(text)
    return match.end() if match else 0


def _asks_anywhere(asked: str) -> bool:
    """Whether a request asks at its end or at the start of a line, after or before the text that it is about."""
    lines = [line for line in asked[:_LONGEST_REQUEST].splitlines() if line] + asked[-200:].splitlines()[-2:]
    return "?" in asked[-200:] or "？" in asked[-200:] or any(_command(line) for line in lines)


CHECKS: tuple[Check, ...] = (swapped_columns,)
