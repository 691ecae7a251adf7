"""A check for swapped columns.

A row is reversed if the answer reads like a request, the request does not, and the request is longer. One such row
proves nothing: an assistant may ask back, and writing a question about a text is a task. So a share of the rows counts,
with commands ("Write a poem") among the answers. A row is plainly reversed if the request is a statement as well, and
the answer a command or a question that speaks to nobody ("Who wrote Emma?"). A few of these are a fault.
"""

import re
from collections.abc import Iterator

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import Check, head, row_evidence, share_of
from pipelines.records.finding import Finding, Severity

# Share of reversed rows by these rules: 0 to 0.7% of real sets, 17 to 63% of the same sets with swapped columns.
_PART_SHARE = 0.1
_MIN_ROWS = 8  # fewer reversed rows are chance
# Plainly reversed are 0 to 0.01% of real sets, 10 to 70% of the same sets with swapped columns.
_PLAIN_SHARE, _PLAIN_ROWS = 0.0003, 2
_SMALL_SHARE = 0.04  # of the rows: one plainly reversed row of at most 25 counts
_FEW_IN_ORDER = 0.1  # for each reversed row: then the whole set is reversed, also if it has questions alone
_OTHERS_SHARE = 0.02  # of the rows are reversed: then one of two need not be plain
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
# Requests that a listener answers with, what speakers say of themselves, words of tasks whose answer is a question
_TO_USER = re.compile(
    r"(?:please |kindly )?(?:tell|give|can you|could you|would you|help me|describe|explain|how do i|how can i|in|if)\b"
    r"|.*\b(?:you|your|yours|yourself|i|my|me|i['’]m|du|sie|ihr|tu|vous|usted)\b",
    re.IGNORECASE | re.DOTALL,
)
_OF_SPEAKER = re.compile(r"\b(?:i|my|me|i['’]m|we|our|ich|wir|je|nous|yo)\b", re.IGNORECASE)
_ABOUT_QUESTIONS = re.compile(
    r"\b(?:questions?|sentences?|following|given|provided|phrase|ask|asks|asking|quer(?:y|ies)|title|headline|riddle"
    r"|frage|question|pregunta)\b|[:：?？]|问题",
    re.IGNORECASE,
)
_WRITES_QUESTIONS = re.compile(
    r"\b(?:writ|generat|creat|produc|formulat|compos|ask|reply with|respond with)\w*\b[^.]{0,40}"
    r"\b(?:questions?|prompts?|instructions?|quer(?:y|ies))\b",
    re.IGNORECASE,
)
_STATEMENT_END = (".", "!", "。", "！", '"', "”", "»", ")")
_OPENING = re.compile(r"[\s\"'“”‘’«»*#>\-(\[]*(?:\d+[.)] )?")


def swapped_columns(context: CheckContext) -> Iterator[Finding]:
    """SWAPPED_COLUMNS: the answers are requests and the requests are answers."""
    if context.stage is not Stage.SFT:
        return
    rows = [row for row in context.train.rows if row.answers and row.asked.strip()]
    reversed_rows = [row for row in rows if _is_reversed(row)]
    plain = [row for row in reversed_rows if _is_plainly_reversed(row)]
    verbs = [verb for row in reversed_rows if (verb := _command(row.answers[0]))]
    is_mixed = len(verbs) >= _COMMAND_SHARE * len(reversed_rows) and len(set(verbs)) >= _MIN_VERBS
    n_in_order = sum(_asks(_request(row)) and not _asks(row.answers[0]) for row in rows)
    is_part = is_mixed and len(reversed_rows) >= max(_MIN_ROWS, _PART_SHARE * len(rows))
    are_some = n_in_order > len(reversed_rows) and _are_too_many(len(plain), len(reversed_rows), len(rows))
    are_all = n_in_order <= _FEW_IN_ORDER * len(reversed_rows) and len(plain) >= max(_MIN_ROWS, _PART_SHARE * len(rows))
    if not (is_part or are_some or are_all):
        return
    yield Finding(
        "SWAPPED_COLUMNS",
        Severity.ERROR,
        summary=f"in {share_of(len(reversed_rows), len(rows))} rows the answer is a request and the request reads like "
        f"an answer; {n_in_order} rows are the right way round",
        why="the model learns to ask what it should answer",
        remedy="remove these rows, or exchange their request and answer"
        if n_in_order > len(reversed_rows)
        else "swap the columns with `python data_prep/build_instructions.py --column_map "
        "instruction=output,output=instruction`, or the roles of these conversations",
        evidence=row_evidence(
            plain or reversed_rows,
            lambda row: f"prompt: {head(_request(row), 60)} | answer: {head(row.answers[0], 60)}",
        ),
        n_rows=len(reversed_rows),
    )


def _are_too_many(n_plain: int, n_reversed: int, n_rows: int) -> bool:
    n_counted = n_reversed if n_plain and n_reversed >= _OTHERS_SHARE * n_rows else n_plain
    is_small = n_plain >= _SMALL_SHARE * n_rows > 0
    return n_counted >= max(1 if is_small else _PLAIN_ROWS, _PLAIN_SHARE * n_rows)


def _is_reversed(row: SampledRow) -> bool:
    asked, answer = _request(row), row.answers[0].strip()
    if len(answer) > _LONGEST_REQUEST or len(asked) <= len(answer) or not _asks(answer):
        return False
    return not _asks(asked) and not _asks_anywhere(asked) and not _WRITES_QUESTIONS.search(row.asked)


def _is_plainly_reversed(row: SampledRow) -> bool:
    """Whether a reversed row has a statement for a request, and an answer that speaks to nobody."""
    asked, answer = _request(row), row.answers[0].strip()
    is_statement = asked.endswith(_STATEMENT_END) and not (_ABOUT_QUESTIONS.search(asked) or _OF_SPEAKER.search(asked))
    return is_statement and not _TO_USER.match(answer)


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
