"""A check of plain text: rows that are written-out conversations are no conversations to the run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from data_prep.conversation import content_text
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.excerpts import head, wanted_answers
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity
from pipelines.training.data.ledger import RowFate

_RENDERED_SHARE = 0.1  # of the rows: a text about a prompt format is one row, a set in that format is all of them
_N_TOKENS_SHOWN = 12


@dataclass(frozen=True)
class _Format:
    """A prompt format by what opens a request and what opens an answer; both must be there, in this order."""

    name: str
    request: re.Pattern[str]
    answer: re.Pattern[str]


def _format(name: str, request: str, answer: str) -> _Format:
    return _Format(name, re.compile(request), re.compile(answer))


_TEMPLATES = (
    _format("ChatML", r"<\|im_start\|>\s?user", r"<\|im_start\|>\s?assistant"),
    _format("Llama 2 and Mistral", r"\[INST\]", r"\[/INST\]"),
    _format("Llama 3", r"<\|start_header_id\|>user", r"<\|start_header_id\|>assistant"),
    _format("Gemma", r"<start_of_turn>user", r"<start_of_turn>model"),
    _format("Phi and Zephyr", r"<\|user\|>", r"<\|assistant\|>"),
)
_PROMPTS = (
    _format(
        "Alpaca", r"(?m)^#{2,3} ?(?:Instruction|Human|User|Question|Input)\b",
        r"(?m)^#{2,3} ?(?:Response|Assistant|Answer|Output)\b",
    ),
    _format("Human and Assistant", r"(?m)^\s*(?:Human|USER|User): ", r"(?m)^\s*(?:Assistant|ASSISTANT): ?"),
    _format("Vicuna", r"\bUSER: ", r"\bASSISTANT: "),
)  # fmt: skip
_SIGNS = ("<|", "[INST]", "<start_of_turn>", "##", "Human:", "User:", "USER:")  # one stands in every such text


def rendered_text_rows(context: CheckContext) -> Iterator[Finding]:
    """Plain rows are plain text and not conversations that a template or a prompt format was put around."""
    if context.stage is not Stage.SFT:
        return
    plain = [row for row in context.train.rows if row.answers and not row.messages]
    found = [(row, name) for row in plain if (name := _format_of(row)) is not None]
    if not found or len(found) < _RENDERED_SHARE * len(plain):
        return
    names = sorted({name for _, name in found})
    has_prompts = any(row.asked for row, _ in found)
    yield Finding(
        "RENDERED_TEXT_ROWS",
        Severity.WARNING,
        summary=f"{len(found)} of {len(plain)} plain-text rows contain rendered conversations ({', '.join(names)})",
        why="the tokenizer gets no chat template to be served with, and an answer ends with "
        f"{context.tokenizer.eos_token} instead of its template's end of turn"
        if has_prompts
        else "the loss is on every token of such a row, prompts and headers included, and the tokenizer gets no chat "
        "template to be served with",
        remedy="convert the rows to messages, or to the columns instruction and output "
        "(data_prep/build_instructions.py), and let the chat template write the rest",
        evidence=tuple(
            Evidence(
                head(row.asked + row.answers[0]), row.number, context.train.split,
                context.labelled(row.examples[0], 0, _N_TOKENS_SHOWN) if row.examples else (),
            )
            for row, _ in found[:MAX_EVIDENCE]
        ),
        n_rows=len(found),
    )  # fmt: skip


def _format_of(row: SampledRow) -> str | None:
    """The format that a text is written in. A prompt column in a prompt format is no fault: it is out of the loss, and
    it is served as it stands; one in a chat template's marks is."""
    answer = row.answers[0]
    whole = row.asked + answer
    if not any(sign in whole for sign in _SIGNS):
        return None
    return _first_of(_TEMPLATES, whole) or _first_of(_PROMPTS, answer)


def _first_of(formats: tuple[_Format, ...], text: str) -> str | None:
    for one in formats:
        request = one.request.search(text)
        if request and one.answer.search(text, request.end()):
            return one.name
    return None


# Ends of turns of other families: to this tokenizer they are text like any other, so they are learned as text.
_FOREIGN_END = re.compile(r"(?:</s>|<\|(?:im_end|eot_id|endoftext|end|end_of_text)\|>|<end_of_turn>)\s*\Z")
_OPEN_PROMPT = re.compile(
    r"\[/INST\]\s*\Z|^#{2,3} ?(?:Response|Assistant|Answer) ?:\s*\Z|<\|im_start\|>\s?assistant\s*\Z"
    r"|<\|start_header_id\|>(?:user|assistant)|<start_of_turn>(?:user|model)|<\|assistant\|>\s*\Z",
    re.MULTILINE,
)


def rendered_messages(context: CheckContext) -> Iterator[Finding]:
    """No turn of a conversation has another prompt format around it."""
    rows = [row for row in context.train.rows if row.messages and row.fate is not RowFate.DROPPED]
    own = {str(token) for token in context.tokenizer.added_tokens_decoder.values()}  # TEMPLATE_MARKS_IN_... tell these
    found = [row for row in rows if _is_rendered(row, context.stage, own)]
    if not found or len(found) < _RENDERED_SHARE * len(rows):
        return
    yield Finding(
        "RENDERED_TEXT_ROWS",
        Severity.WARNING,
        summary=f"in {len(found)} of {len(rows)} conversations a turn contains another prompt format",
        why="the chat template is applied on top, so the model learns special tokens that nobody sends, and to write "
        "another family's end as text",
        remedy="remove the special tokens from the turns and let the chat template write them",
        evidence=tuple(
            Evidence(head(f"{row.asked[-70:]} | {row.answers[0][-70:]}"), row.number, context.train.split)
            for row in found[:MAX_EVIDENCE]
        ),
        n_rows=len(found),
    )


def _is_rendered(row: SampledRow, stage: Stage, own: set[str]) -> bool:
    asked = (content_text(one) for one in row.messages if one["role"] == "user")
    ends = (end for answer in wanted_answers(row, stage) if (end := _FOREIGN_END.search(answer)))
    return any(end.group().strip() not in own for end in ends) or any(map(_OPEN_PROMPT.search, asked))
