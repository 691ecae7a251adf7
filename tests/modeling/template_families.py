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
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pipelines.errors import UserError
from pipelines.modeling import ensure_chat_template
from pipelines.modeling.assistant_masks import UnrenderableError, render_turns
from pipelines.modeling.chat.template_input import template_messages
from tests.modeling import small_templates

TRL = Path(trl.__file__).parent / "chat_templates"
NO_THOUGHTS, NO_TOOLS, OPEN = "!template_drops_thoughts", "!template_drops_tools", "!prompt_is_no_prefix"
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


_THINKING = {
    "plain": "\n</think>\n\n{answer}<|im_end|>", "thought": "{thought}\n</think>\n\n{answer}<|im_end|>",
    "call": "\n</think>\n\n<tool_call>\n<function=look_up>\n<parameter=place>\nBath\n</parameter>\n<parameter=day>\n5\n"
    "</parameter>\n</function>\n</tool_call><|im_end|>",
    "null": "\n</think>\n\n<tool_call>\n<function=look_up>\n<parameter=place>\nnull\n</parameter>\n</function>\n"
    "</tool_call><|im_end|>",
}  # fmt: skip
_HERMES = '<tool_call>\n{"name": "look_up", "arguments": {arguments}}\n</tool_call><|im_end|>'
_GEMMA_CALL = '<|tool_call>call:look_up{day:5,place:<|"|>Bath<|"|>}<tool_call|>'
_LLAMA = Family("{answer}<|eot_id|>", call='{"name": "look_up", "parameters": {arguments}}<|eot_id|>')
_LFM = {
    "plain": "{answer}<|im_end|>",
    "call": "<|tool_call_start|>[look_up(place='Bath', day=5)]<|tool_call_end|><|im_end|>",
    "null": "<|tool_call_start|>[look_up(place=None)]<|tool_call_end|><|im_end|>",
}
# The finished turn has the empty thought that the prompt opens, without its line break.
_NEMOTRON_TURNS = {
    "plain": "</think>{answer}<|im_end|>",
    "call": "</think>\n<tool_call>\n<function=look_up>\n<parameter=place>\nBath\n</parameter>\n<parameter=day>\n5\n"
    "</parameter>\n</function>\n</tool_call>\n<|im_end|>",
    "null": "!template_drops_null",
}
_NEMOTRON = Family(**_NEMOTRON_TURNS, thought="{thought}\n</think>\n{answer}<|im_end|>")
_NEMOTRON_TIGHT = Family(**_NEMOTRON_TURNS, thought="{thought}</think>{answer}<|im_end|>")
_QWEN = Family("{answer}<|im_end|>", call=_HERMES)
_GEMMA_4 = {"plain": "{answer}<turn|>", "call": _GEMMA_CALL + "<|tool_response>", "null": "!template_drops_null"}
_GEMMA_THOUGHT = "<|channel>thought\n{thought}\n<channel|>{answer}<turn|>"
_GEMMA_NULL = "<|tool_call>call:look_up{place:null}<tool_call|><|tool_response>"
_SENTENCE = "{answer}<｜end▁of▁sentence｜>"
_DEEPSEEK = Family(
    _SENTENCE, call="<｜tool▁call▁begin｜>look_up<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜><｜end▁of▁sentence｜>"
)
_ATEM = ' to=look_up<|message|><atem:function_calls>\n<atem:invoke name="look_up">\n'
_END_OF_ATEM = "</atem:invoke>\n</atem:function_calls><|eot|>"

OF_TRL = {
    "cohere": Family("{answer}<|END_OF_TURN_TOKEN|>"),
    "cohere2": Family("{answer}<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"),
    **dict.fromkeys(("deepseek_r1_distill", "deepseekv3"), Family(OPEN, thought=OPEN)),
    **dict.fromkeys(("gemma4", "gemma4_v3", "gemma4_v4"), Family(**_GEMMA_4)),
    **dict.fromkeys(("diffusion_gemma", "gemma4_v5"),
                    Family(**{**_GEMMA_4, "thought": _GEMMA_THOUGHT, "null": _GEMMA_NULL})),
    "gemma": Family("{answer}<end_of_turn>", system="!template_refuses: System role not supported"),
    "gemma3": Family("{answer}<end_of_turn>"),
    "gemma4_v2": Family(**{**_GEMMA_4, "call": _GEMMA_CALL + "<turn|>"}),
    "glm4moe": Family("!expected a special token"),
    "gptoss": Family(
        "<|channel|>final<|message|>{answer}<|return|>",
        thought="<|channel|>analysis<|message|>{thought}<|end|><|start|>assistant<|channel|>final<|message|>{answer}"
        "<|return|>",
        call=" to=functions.look_up<|channel|>commentary json<|message|>{arguments}<|call|>",
    ),
    **dict.fromkeys(("idefics3", "smolvlm"), Family("!drops the question and the answer")),
    "lfm2": Family("{answer}<|im_end|>"),
    "lfm2_v2": Family(**_LFM),
    **dict.fromkeys(("lfm2_2_5", "lfm2_2_5_v2", "lfm2_2_5_vl"),
                    Family(**_LFM, thought="<think>{thought}</think>{answer}<|im_end|>")),
    "llama3": Family("{answer}<|eot_id|>"),
    **dict.fromkeys(("llama3_1", "llama3_2"), _LLAMA),
    "llava_next": Family("!does not render a question and an answer"),
    "muse_glimmer": Family(
        " to=user<|message|>{answer}<|eot|>",
        thought=" to=self<|message|>{thought}<|eom|><|start|>assistant to=user<|message|>{answer}<|eot|>",
        call=_ATEM + '<atem:parameter name="place">Bath</atem:parameter>\n'
        '<atem:parameter name="day">5</atem:parameter>\n' + _END_OF_ATEM,
        null=_ATEM + '<atem:parameter name="place">null</atem:parameter>\n' + _END_OF_ATEM,
    ),
    **dict.fromkeys(("nemotron_3_5_lightning", "nemotron_3_ultra"), _NEMOTRON_TIGHT),
    **dict.fromkeys(("nemotron_3_nano", "nemotron_3_super"), _NEMOTRON),
    **dict.fromkeys(("phi3", "phi3_5"), Family("{answer}<|end|>")),
    **dict.fromkeys(("qwen2_5", "qwen3_instruct_2507", "qwen3_vl"), _QWEN),
    "qwen2_5_vl": Family("{answer}<|im_end|>"),
    "qwen3": Family(
        "<think>\n\n</think>\n\n{answer}<|im_end|>",
        thought="<think>\n{thought}\n</think>\n\n{answer}<|im_end|>",
        call="<think>\n\n</think>\n\n" + _HERMES,
    ),
    "qwen3_5_nothink": Family("{answer}<|im_end|>", OPEN, _THINKING["call"].removeprefix("\n</think>\n\n"),
                              "!template_drops_null"),
    "qwen3_5_think": Family(**{**_THINKING, "null": "!template_drops_null"}),
    **dict.fromkeys(("qwen3_6", "qwen3_8"), Family(**_THINKING)),
}  # fmt: skip
OF_OUR_OWN = {
    "LLAMA_2": Family(" {answer} </s>", eos="</s>"),
    "MISTRAL": Family(
        " {answer}</s>",
        call='[TOOL_CALLS] [{"name": "look_up", "arguments": {arguments}, "id": "call00000"}]</s>',
        eos="</s>",
    ),
    "VICUNA": Family(" {answer}</s>", eos="</s>"),
    "ZEPHYR": Family("{answer}</s>", eos="</s>"),
    "COMMAND_A": Family("<|START_RESPONSE|>{answer}<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"),
    "KIMI_K2": Family(
        "{answer}<|im_end|>",
        call="<|tool_calls_section_begin|><|tool_call_begin|>functions.look_up:0<|tool_call_argument_begin|>{arguments}"
        "<|tool_call_end|><|tool_calls_section_end|><|im_end|>",
    ),
    **dict.fromkeys(("DEEPSEEK_V3", "QWQ", "DEEPSEEK_V3_2"), _DEEPSEEK),
    "DEEPSEEK_R1": Family(OPEN, thought=OPEN),
    "FUNCTIONARY": Family("{answer}<|eot|>", call="<function=look_up>{arguments}</function><|eom|>"),
    "NEMOTRON_NANO": Family("{answer}<|eot|>", call="<function=look_up>{arguments}</function><|eot|>"),
    "QWEN_1_5": Family("{answer}<|im_end|>", eos="<|im_end|>"),
    "NO_GENERATION_PROMPT": Family("<|im_start|>assistant\n{answer}<|im_end|>"),
    "PARTS_ALONE": Family("!drops the question and the answer"),
    "ALPACA": Family("!expected a special token"),
    "PYTHON_VALUES": Family(
        "{answer}<|im_end|>",
        call="<function=look_up><parameter=place>Bath</parameter><parameter=day>5</parameter></function><|im_end|>",
        null="!template_drops_null",
    ),
}
FAMILIES: Mapping[str, Family] = {**OF_TRL, **OF_OUR_OWN}

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
    template = (TRL / f"{name}.jinja").read_text("utf-8") if name in OF_TRL else getattr(small_templates, name)
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
