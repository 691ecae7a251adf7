"""Conversations that were already rendered as one text: the templates of Guanaco, Alpaca, ChatML, Llama 2, Zephyr."""

import re
from collections.abc import Callable, Sequence

from data_prep.conversation import ALIASES, CONVERSATION_COLUMNS, UnreadableRowError
from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats.row_format import (
    ForeignFormat,
    Row,
    asks_and_answers,
    each_row,
    fits_nearly_all,
    without,
)

_COLUMN = "text"
Messages = list[dict[str, str]]
Reader = Callable[[str], Messages]

_ALPACA_PARTS = re.compile(r"^### (Instruction|Input|Response):[ \t]*\n?", re.MULTILINE)


def _alpaca(text: str) -> Messages:
    """The text before "### Instruction:" is the same for all rows, and left out."""
    parts = _ALPACA_PARTS.split(text)
    messages: Messages = []
    for name, said in zip(parts[1::2], parts[2::2], strict=True):
        if name == "Input" and messages:
            messages[-1]["content"] = "\n\n".join(filter(None, (messages[-1]["content"], said.strip())))
        else:
            said = said.strip("\n").rstrip() if name == "Response" else said.strip()
            messages.append({"role": "assistant" if name == "Response" else "user", "content": said})
    return messages


_SYSTEM = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>", re.DOTALL)


def _llama2(text: str) -> Messages:
    messages: Messages = []
    for turn in text.split("[INST]")[1:]:
        asked, closed, answer = turn.partition("[/INST]")
        if not closed:
            raise UnreadableRowError("template_is_not_closed")
        if system := _SYSTEM.match(asked):
            messages.append({"role": "system", "content": system[1].strip()})
            asked = asked[system.end() :]
        messages.append({"role": "user", "content": asked.strip()})
        messages.append({"role": "assistant", "content": answer.replace("<s>", "").partition("</s>")[0].strip()})
    return messages


_ROLES = {"Human": "user", "User": "user", "Assistant": "assistant", "System": "system"}


def _marked(mark: str, end: str = "") -> Reader:
    """Return a reader of text that has `mark`, a pattern whose group is the speaker, before each turn and the text
    `end` after it."""
    pattern = re.compile(mark)

    def read(text: str) -> Messages:
        parts = pattern.split(text)
        turns = zip(parts[1::2], parts[2::2], strict=True)
        said = [(speaker, (text.partition(end)[0] if end else text).strip()) for speaker, text in turns]
        return [{"role": _ROLES.get(speaker, speaker), "content": text} for speaker, text in said]

    return read


# for each template how a text begins, and how it is read
_TEMPLATES: tuple[tuple[re.Pattern[str], Reader], ...] = (
    (re.compile(r"\s*### (Human|User|System):"), _marked(r"### (Human|User|System|Assistant):")),
    (re.compile(r"(?s).{0,400}?^### Instruction:.*^### Response:", re.MULTILINE), _alpaca),
    (re.compile(r"\s*<\|im_start\|>"), _marked(r"<\|im_start\|>(system|user|assistant|tool)\n", "<|im_end|>")),
    (re.compile(r"\s*(<s>)?\s*\[INST\]"), _llama2),
    (re.compile(r"\s*<\|(system|user)\|>"), _marked(r"<\|(system|user|assistant)\|>\n?", "</s>")),
    (re.compile(r"\s*Human:.*\n\nAssistant:", re.DOTALL), _marked(r"(?:\A\s*|\n\n)(Human|Assistant):")),
)
_ENDS = ("</s>", "<|endoftext|>", "<|end_of_text|>", "### End")
_OTHER_COLUMNS = (*ALIASES["instruction"], *CONVERSATION_COLUMNS)


def _recognizes(columns: Sequence[str], head: Sequence[Row]) -> bool:
    is_alone = _COLUMN in columns and not any(name in columns for name in _OTHER_COLUMNS)
    is_alone = is_alone and not asks_and_answers(columns)
    return is_alone and fits_nearly_all(head, _reader)


def _reader(row: Row) -> Reader | None:
    text = row.get(_COLUMN)
    return next((read for begins, read in _TEMPLATES if isinstance(text, str) and begins.match(text)), None)


def _convert(row: Row, kind: DatasetKind) -> Row:  # noqa: ARG001
    read = _reader(row)
    if read is None:
        raise UnreadableRowError("text_without_template")
    text = row[_COLUMN].rstrip()
    for end in _ENDS:
        text = text.removesuffix(end)
    messages = [one for one in read(text) if one["content"] or one["role"] != "system"]
    others = without(row, (_COLUMN,))
    if [one["role"] for one in messages] == ["user", "assistant"]:
        return {**others, "instruction": messages[0]["content"], "output": messages[1]["content"]}
    return {**others, "messages": messages}


TEMPLATED_TEXT = ForeignFormat(
    "templated_text",
    "a text column with rendered conversations: ### Human, ### Instruction, <|im_start|>, [INST], <|user|>, Human:",
    (DatasetKind.INSTRUCTIONS,),
    _recognizes,
    each_row(_convert),
)
