"""Checks for rendered rows: conversations as plain text, and turns with another prompt format around them."""

import re
from collections.abc import Iterator, Mapping

from data_prep.conversation import content_text
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import kept_rows, row_evidence, wanted_answers
from pipelines.records.finding import Finding, Severity

_RENDERED_SHARE = 0.1  # of the rows: a text about a prompt format is one row, a set in that format is all of them
_N_TOKENS_SHOWN = 12

# Prompt formats: the marks of a request and of an answer, which must come in this order.
_TEMPLATES = {
    "ChatML": (r"<\|im_start\|>\s?user", r"<\|im_start\|>\s?assistant"),
    "Llama 2 and Mistral": (r"\[INST\]", r"\[/INST\]"),
    "Llama 3": (r"<\|start_header_id\|>user", r"<\|start_header_id\|>assistant"),
    "Gemma": (r"<start_of_turn>user", r"<start_of_turn>model"),
    "Phi and Zephyr": (r"<\|user\|>", r"<\|assistant\|>"),
}
_PROMPTS = {
    "Alpaca": (r"(?m)^#{2,3} ?(?:Instruction|Human|User|Question|Input)\b",
               r"(?m)^#{2,3} ?(?:Response|Assistant|Answer|Output)\b"),
    "Human and Assistant": (r"(?m)^\s*(?:Human|USER|User): ", r"(?m)^\s*(?:Assistant|ASSISTANT): ?"),
    "Vicuna": (r"\bUSER: ", r"\bASSISTANT: "),
}  # fmt: skip
_SIGNS = ("<|", "[INST]", "<start_of_turn>", "##", "Human:", "User:", "USER:")  # every such text has one


def rendered_text_rows(context: CheckContext) -> Iterator[Finding]:
    """RENDERED_TEXT_ROWS: rows of plain text that are conversations in a chat template or prompt format."""
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
        summary=f"{len(found)} of {len(plain)} rows of plain text are rendered conversations ({', '.join(names)})",
        why=f"the tokenizer gets no chat template, and an answer ends with {context.tokenizer.eos_token} instead of "
        "the template's end of turn"
        if has_prompts
        else "the loss is on every token of such a row, prompts included, and the tokenizer gets no chat template",
        remedy="convert the rows to messages, or to instruction and output with `python "
        "data_prep/build_instructions.py`, and let the chat template render them",
        evidence=row_evidence(
            (row for row, _ in found),
            lambda row: row.asked + row.answers[0],
            lambda row: context.labelled(row.examples[0], 0, _N_TOKENS_SHOWN) if row.examples else (),
        ),
        n_rows=len(found),
    )


def _format_of(row: SampledRow) -> str | None:
    """The format that a text is in. A prompt column in a prompt format is fine, since it is not in the loss and is
    served like this; one in a chat template's marks is not."""
    answer = row.answers[0]
    whole = row.asked + answer
    if not any(sign in whole for sign in _SIGNS):
        return None
    return _first_of(_TEMPLATES, whole) or _first_of(_PROMPTS, answer)


def _first_of(formats: Mapping[str, tuple[str, str]], text: str) -> str | None:
    for name, (request, answer) in formats.items():
        begin = re.search(request, text)
        if begin and re.search(answer, text[begin.end() :]):
            return name
    return None


# Ends of turns of other families, which this tokenizer reads as text.
_FOREIGN_END = re.compile(r"(?:</s>|<\|(?:im_end|eot_id|endoftext|end|end_of_text)\|>|<end_of_turn>)\s*\Z")
_OPEN_PROMPT = re.compile(
    r"\[/INST\]\s*\Z|^#{2,3} ?(?:Response|Assistant|Answer) ?:\s*\Z|<\|im_start\|>\s?assistant\s*\Z"
    r"|<\|start_header_id\|>(?:user|assistant)|<start_of_turn>(?:user|model)|<\|assistant\|>\s*\Z",
    re.MULTILINE,
)
# Roles as text at the beginning of a turn, as transcripts and decoded chats have them.
_USER = re.compile(
    r"\s*(?:(?:user|human|prompter|utilisateur|benutzer|usuario|пользователь|用户|人类|ユーザー) ?[:：]|user\n)",
    re.IGNORECASE,
)
_ASSISTANT = re.compile(
    r"\s*(?:(?:assistant|chatgpt|gpt|bot|ai|assistent|asistente|ассистент|助手|アシスタント) ?[:：]"
    r"|(?:assistant|model)\n)",
    re.IGNORECASE,
)


def rendered_messages(context: CheckContext) -> Iterator[Finding]:
    """RENDERED_TEXT_ROWS: turns of a conversation with another prompt format around them."""
    rows = [row for row in kept_rows(context) if row.messages]
    own = {str(token) for token in context.tokenizer.added_tokens_decoder.values()}  # see TEMPLATE_MARKS_IN_...
    found = [row for row in rows if _is_rendered(row, context.stage, own)]
    if not found or len(found) < _RENDERED_SHARE * len(rows):
        return
    yield Finding(
        "RENDERED_TEXT_ROWS",
        Severity.WARNING,
        summary=f"{len(found)} of {len(rows)} conversations have a turn with another prompt format around it, or its "
        "role as text before it",
        why="the chat template is rendered around it again, so the model learns to write what no user sends or reads",
        remedy="remove marks and roles from the turns; the chat template adds its own",
        evidence=row_evidence(found, lambda row: f"{row.asked[:40]}…{row.asked[-30:]} | {row.answers[0][:40]}"),
        n_rows=len(found),
    )


def _is_rendered(row: SampledRow, stage: Stage, own: set[str]) -> bool:
    asked = [content_text(one) for one in row.messages if one["role"] == "user"]
    answers = wanted_answers(row, stage)
    if any(map(_OPEN_PROMPT.search, asked)) or any(map(_USER.match, asked)) or any(map(_ASSISTANT.match, answers)):
        return True
    ends = (end for answer in answers if (end := _FOREIGN_END.search(answer)))
    return any(end.group().strip() not in own for end in ends)
