"""The prompts to compare: those of the rows, one for each kind of conversation, and those of a few more kinds."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from data_prep.conversation import Conversation, content_text
from pipelines.modeling.chat.dates import dated_template
from pipelines.modeling.chat.template_input import CALL_PARTS, TEMPLATE_ERRORS, TOOL, apply_template, template_messages
from pipelines.preflight.check_context import CheckContext
from pipelines.preflight.checks.row_facts import conversation_of
from pipelines.preflight.engines.template_engine import TemplateInput

MAX_KINDS = 256  # of conversations among the rows; real sets have less than a hundred
_ESCAPED = set("<>&'\"\\")  # characters that engines escape differently in JSON
_VARIABLES = "{{ {'messages': messages, 'tools': tools} | tojson }}"


@dataclass(frozen=True)
class Prompt:
    """One prompt: what the template reads, and the text that is trained. `row` is None if no row has it."""

    name: str
    row: int | None
    template: str
    read: TemplateInput
    trained: str


def row_prompts(context: CheckContext) -> list[Prompt]:
    """For the first row of each kind of conversation: the prompt of its last trained turn, and of a turn after it."""
    found: list[Prompt] = []
    seen: set[frozenset[str]] = set()
    for row in context.train.rows:
        if not (row.messages and row.whole):
            continue  # plain text, or dropped with its own finding
        conversation = conversation_of(context, row)
        kind = kind_of(conversation)
        if kind in seen:
            continue
        seen.add(kind)
        last = conversation.trained_turns()[-1]
        found += _prompts(context.tokenizer, conversation.before(last), "its prompt", row.number)
        further = Conversation(
            [*conversation.messages[: last + 1], *_reply(conversation.messages[last])],
            conversation.tools, conversation.template_arguments,
        )  # fmt: skip
        found += _prompts(context.tokenizer, further, "the prompt of a turn after it", row.number)
        if len(seen) == MAX_KINDS:
            break
    return found


def other_prompts(tokenizer: PreTrainedTokenizerBase) -> list[Prompt]:
    """Prompts of kinds that rows may lack, as far as the template renders them."""
    return [one for name, conversation in _OTHERS.items() for one in _prompts(tokenizer, conversation, name, None)]


def kind_of(conversation: Conversation) -> frozenset[str]:
    """What distinguishes a conversation for a template: its roles and the values that engines write differently."""
    facts = set(_value_facts("tools", conversation.tools or []))
    if conversation.tools:
        facts.add("tools")
    facts |= {f"argument {name}" for name in conversation.template_arguments}
    for message in conversation.messages:
        role, text = str(message["role"]), content_text(message)
        facts.add(f"{role} again" if role in facts else role)
        facts |= {f"{role} {key}" for key, value in message.items() if value not in (None, [], "")}
        if text != text.lstrip():
            facts.add(f"{role} begins with white space")
        if text != text.rstrip():
            facts.add(f"{role} ends with white space")
        if isinstance(message.get("content"), list):
            facts.add(f"{role} in parts")
        facts |= set(_value_facts("calls", [call["function"] for call in message.get("tool_calls") or ()]))
    return frozenset(facts)


def _value_facts(name: str, value: Any) -> Iterator[str]:
    """What a JSON value contains: types, and characters that are escaped."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _value_facts(name, key)
            yield from _value_facts(name, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _value_facts(name, inner)
    elif isinstance(value, str):
        if _ESCAPED & set(value):
            yield f"{name} with escapes"
        if not value.isascii():
            yield f"{name} beyond ASCII"
    else:
        yield f"{name} {type(value).__name__}"


def _prompts(
    tokenizer: PreTrainedTokenizerBase, conversation: Conversation, name: str, row: int | None
) -> Iterator[Prompt]:  # fmt: skip
    messages, tools, arguments = conversation.messages, conversation.tools or None, conversation.template_arguments
    try:
        trained = apply_template(tokenizer, messages, tools, add_generation_prompt=True, **arguments)
    except TEMPLATE_ERRORS:
        return  # transformers refuses it as well
    read = _template_input(tokenizer, messages, tools, arguments)
    template = dated_template(tokenizer, tools) or tokenizer.get_chat_template(None, tools)
    yield Prompt(name, row, template, read, trained)


def _template_input(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Any], tools: Sequence[Any] | None,
    arguments: Mapping[str, Any],
) -> TemplateInput:  # fmt: skip
    """What transformers passes to a template (it removes nulls and adds other names of thoughts): a template that
    writes its variables tells."""
    offered = list(tools) if tools else None
    written = tokenizer.apply_chat_template(
        template_messages(tokenizer, messages), offered, chat_template=_VARIABLES, tokenize=False
    )
    special = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return TemplateInput(**json.loads(str(written)), arguments=arguments, special_tokens=special)


def _reply(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What may follow an answer: results of its calls, or another request."""
    calls = message.get("tool_calls")
    if not calls:
        return [{"role": "user", "content": "Go on."}]
    return [{"role": "tool", "name": call["function"]["name"], "content": "done"} for call in calls]


def _talk(*contents: str, system: str | None = None) -> Conversation:
    spoken = [{"role": ("user", "assistant")[place % 2], "content": one} for place, one in enumerate(contents)]
    return Conversation([{"role": "system", "content": system}, *spoken] if system is not None else spoken)


def _call_of(arguments: Mapping[str, Any]) -> Conversation:
    name = CALL_PARTS[0]
    call = {"type": "function", "function": {"name": name, "arguments": dict(arguments)}}
    return Conversation(
        [
            {"role": "user", "content": "Look it up."},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "name": name, "content": "found"},
        ],
        [TOOL],
    )


_THOUGHT = {"role": "assistant", "content": "Four.", "reasoning_content": "Two and two."}
_OTHERS: Mapping[str, Conversation] = {
    "one question": _talk("What is it?"),
    "several turns": _talk("What is it?", "A bird.", "Which?"),
    "a system turn": _talk("What is it?", system="Be brief."),
    "white space around texts": _talk("\n  What is it? \n", " A bird.\n\n", "\tWhich? ", system=" Be brief.\n"),
    "characters that are escaped": _talk("Is <b> & 'c' \"d\" \\n é 鸟?", "<b>é</b>", "Sure?"),
    "a thought": Conversation([*_talk("Sum?").messages, _THOUGHT, *_talk("Sure?").messages]),
    "a tool": Conversation(_talk("Look it up.").messages, [TOOL]),
    "a call": _call_of({"place": "Bath", "days": [1, 2.5], "again": True}),
    "a call with null": _call_of({"place": None}),
    "a call with escaped characters": _call_of({"place": "<Bath> & 'Köln' \"x\"\n"}),
}
