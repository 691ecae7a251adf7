"""What the model must answer under each family's chat template, written by hand; and what the rendering makes of it.

`{answer}`, `{thought}` and `{arguments}` (as JSON) stand for the row's own. A text that begins with `!` is the reason
for which such a row is refused.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trl
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pipelines.errors import UserError
from pipelines.modeling import ensure_chat_template
from pipelines.modeling.assistant_masks import UnrenderableError, render_turns
from pipelines.modeling.chat.template_input import template_messages

TRL = Path(trl.__file__).parent / "chat_templates"
NO_THOUGHTS, NO_TOOLS = "!template_drops_thoughts", "!template_drops_tools"
_MARK = re.compile(
    r"<\|[^<>|\s']{1,40}\|>|<｜[^<>｜\s]{1,40}｜>|<\|[a-z_\"]{1,40}>|<[a-z_]{1,40}\|>|<(?:start|end)_of_\w+>|</?think>"
)


@dataclass(frozen=True)
class Family:
    """`eos` is the tokenizer's EOS before the template is looked at."""

    plain: str
    thought: str = NO_THOUGHTS
    call: str = NO_TOOLS
    null: str | None = None
    system: str | None = None
    eos: str = "<eos>"

    def expected(self, column: str) -> str:
        """What the model must answer in a conversation of `COLUMNS`."""
        given = {"system": self.system, "null": self.null, "thought": self.thought, "call": self.call}.get(column)
        if given is None:
            given = self.call if column == "null" else self.plain
        return self.plain if self.plain.startswith("!") and not given.startswith("{") else given


_TABLE = {
    name: entry
    for entry in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    for name in entry.pop("names")
}
OF_OUR_OWN: dict[str, str] = {name: entry["template"] for name, entry in _TABLE.items() if "template" in entry}
FAMILIES: Mapping[str, Family] = {
    name: Family(**{key: text for key, text in entry.items() if key != "template"}) for name, entry in _TABLE.items()
}
OF_TRL = FAMILIES.keys() - OF_OUR_OWN.keys()

_ASKED, _SYSTEM = {"role": "user", "content": "Who wrote it?"}, {"role": "system", "content": "Be brief."}
_TEXTS = {"{answer}": "Jane did.", "{thought}": "It was Jane."}
_TOOL = {"type": "function", "function": {"name": "look_up", "description": "Looks it up.", "parameters": {
    "type": "object", "required": ["place"],
    "properties": {
        "place": {"type": "string", "description": "Where."}, "day": {"type": "integer", "description": "When."},
    },
}}}  # fmt: skip


def _answer(**more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "Jane did."} | more


def _called(**arguments: Any) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": "look_up", "arguments": arguments}}
    return _answer(content="", tool_calls=[call])


_CALLED = _called(place="Bath", day=5)
# The messages of each column, their tools, and which of them is looked at.
COLUMNS: dict[str, tuple[list[dict[str, Any]], list[Any] | None]] = {
    "plain": ([_ASKED, _answer()], None),
    "several": ([_ASKED, _answer(content="Anne."), {"role": "user", "content": "Sure?"}, _answer()], None),
    "system": ([_SYSTEM, _ASKED, _answer()], None),
    "thought": ([_ASKED, _answer(reasoning_content="It was Jane.")], None),
    "call": ([_ASKED, _CALLED], [_TOOL]),
    "null": ([_ASKED, _called(place=None)], [_TOOL]),
}  # fmt: skip


def tokenizer_of(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes with the marks of the family's template."""
    template = OF_OUR_OWN.get(name) or (TRL / f"{name}.jinja").read_text("utf-8")
    eos = FAMILIES[name].eos
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({character: place for place, character in enumerate(alphabet)}, []))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token=eos)
    marks = dict.fromkeys(mark for mark in _MARK.findall(template) if mark not in ("<s>", eos))
    tokenizer.add_special_tokens({"extra_special_tokens": [*marks, "<|ASSISTANT_TOKEN|>", "<|im_assistant|>"]})
    tokenizer.chat_template = template
    return tokenizer


def verdict(name: str, column: str, folder: Path) -> str:
    """`right`, `refused: REASON`, or what is wrong with the last turn of a column's conversation."""
    expected = FAMILIES[name].expected(column)
    messages, tools = COLUMNS[column]
    tokenizer = tokenizer_of(name)
    try:
        ensure_chat_template(tokenizer)
        [*_, segments] = render_turns(tokenizer, messages, tools=tools)
    except (UserError, UnrenderableError) as error:
        reason = " ".join(str(error).split())
        is_expected = expected.startswith("!") and expected[1:] in reason
        return f"refused: {reason}" if is_expected else f"WRONGLY REFUSED: {reason}"
    tokenizer.save_pretrained(folder)
    served = AutoTokenizer.from_pretrained(folder)
    prompt = served.apply_chat_template(
        template_messages(served, messages[:-1]), tools=tools, add_generation_prompt=True, return_dict=False
    )  # fmt: skip
    context = [token_id for segment in segments[:-1] for token_id in segment.token_ids]
    if context != prompt:
        return f"WRONG CONTEXT: {served.decode(context)!r} for {served.decode(prompt)!r}"
    arguments = messages[-1]["tool_calls"][0]["function"]["arguments"] if messages[-1].get("tool_calls") else {}
    for part, text in {**_TEXTS, "{arguments}": json.dumps(arguments)}.items():
        expected = expected.replace(part, text)
    turn = served.decode(segments[-1].token_ids)
    return "right" if turn == expected else f"WRONG TURN: {turn!r} for {expected!r}"
