"""Faults of the chat template and the end token."""

from tests.planted_faults.families import Family
from tests.planted_faults.faults.fault import ERROR, WARNING, PlantedFault
from tests.planted_faults.pair import Pair
from tests.planted_faults.sample_rows import conversations, rows_in, tool_conversations, with_system_turns

# The templates that many notebooks carry around, each with its fault.
ALPACA_WITHOUT_END = r"""
{%- for message in messages -%}
    {%- if message['role'] == 'user' -%}
        {{- '### Instruction:\n' + message['content'] + '\n\n### Response:\n' -}}
    {%- else -%}
        {{- message['content'] + '\n\n' -}}
    {%- endif -%}
{%- endfor -%}
"""
PLAIN_CHATML = r"""
{%- for message in messages -%}
    {{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
"""
CHATML_WITH_OPEN_THOUGHT = PLAIN_CHATML.replace(r"'<|im_start|>assistant\n'", r"'<|im_start|>assistant\n<think>\n'")
CHATML_WITH_EMPTY_THOUGHT = r"""
{%- for message in messages -%}
    {{- '<|im_start|>' + message['role'] + '\n' -}}
    {%- if message['role'] == 'assistant' -%}{{- '<think>\n\n</think>\n\n' -}}{%- endif -%}
    {{- message['content'] + '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
"""
LLAMA3_OF_THE_LAST_TURN = r"""
{%- set asked = messages | selectattr('role', 'equalto', 'user') | list | last -%}
{{- bos_token + '<|start_header_id|>user<|end_header_id|>\n\n' + asked['content'] + '<|eot_id|>' -}}
{%- if messages[-1]['role'] == 'assistant' -%}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' + messages[-1]['content'] + '<|eot_id|>' -}}
{%- endif -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}{%- endif -%}
"""
OWN_WITHOUT_SYSTEM = r"""
{%- for message in messages -%}
    {%- if message['role'] == 'user' -%}{{- '<|user|>\n' + message['content'] + '<|end|>\n' -}}{%- endif -%}
    {%- if message['role'] == 'assistant' -%}{{- '<|bot|>\n' + message['content'] + '<|end|>\n' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|bot|>\n' -}}{%- endif -%}
"""
CHATML_THAT_REFUSES_SYSTEM = (
    "{%- if messages[0]['role'] == 'system' -%}{{- raise_exception('System role not supported') -}}{%- endif -%}"
    + PLAIN_CHATML
)


def template_without_end_token() -> Pair:
    return Pair(rows_in("english"), template=ALPACA_WITHOUT_END)


def eos_of_the_base_with_chatml() -> Pair:
    return Pair(rows_in("english"), keys={"eos_token": "<|endoftext|>"})


def eos_of_the_base_with_llama3() -> Pair:
    return Pair(rows_in("english"), keys={"eos_token": "<|end_of_text|>"})


def generation_prompt_with_open_thought() -> Pair:
    return Pair(rows_in("english"), template=CHATML_WITH_OPEN_THOUGHT)


def empty_thoughts_before_answers() -> Pair:
    return Pair(rows_in("english"), template=CHATML_WITH_EMPTY_THOUGHT)


def template_without_system() -> Pair:
    return Pair(with_system_turns(rows_in("english")), template=OWN_WITHOUT_SYSTEM)


def template_of_the_last_turn() -> Pair:
    return Pair(conversations(rows_in("english"), 3), template=LLAMA3_OF_THE_LAST_TURN)


def template_without_tools() -> Pair:
    return Pair(tool_conversations(), template=PLAIN_CHATML)


def template_that_refuses_system() -> Pair:
    rows = with_system_turns(rows_in("english"))
    return Pair(rows, template=CHATML_THAT_REFUSES_SYSTEM)


FAULTS = (
    PlantedFault(
        "END_TOKEN_NOT_TRAINED", "Alpaca's template without an end token", Family.GPT2, ERROR,
        template_without_end_token,
        trl_says=r"(?i)end[- ]of[- ](turn|sequence)|\beos\b.*template|stop token",
    ),
    PlantedFault(
        "END_TOKEN_MISMATCH", "eos_token of the base with a ChatML template", Family.CHATML, ERROR,
        eos_of_the_base_with_chatml,
        trl_says=r"(?i)eos_token.*template|template.*eos",
    ),
    PlantedFault(
        "END_TOKEN_MISMATCH", "eos_token of the base with Llama 3's template", Family.LLAMA3, ERROR,
        eos_of_the_base_with_llama3,
        trl_says=r"(?i)eos_token.*template|template.*eos",
    ),
    PlantedFault(
        "TRAINING_PROMPT_NOT_SERVED", "the generation prompt opens a thought that no answer has", Family.CHATML, ERROR,
        generation_prompt_with_open_thought,
        trl_says=r"(?i)mismatch between tokenized prompt|prefix",
    ),
    PlantedFault(
        "EMPTY_THINK_TRAINED", "an empty thought before each answer that the generation prompt lacks",
        Family.CHATML, WARNING, empty_thoughts_before_answers,
        trl_says=r"(?i)mismatch between tokenized prompt|prefix|think",
    ),
    PlantedFault(
        "TEMPLATE_DROPS_SYSTEM", "a template without a branch for system turns", Family.OWN, ERROR,
        template_without_system,
        trl_says=r"(?i)system (turn|message|role)",
    ),
    PlantedFault(
        "TEMPLATE_DROPS_TEXT", "a template that renders the last question alone, for chats of three rounds",
        Family.LLAMA3, ERROR, template_of_the_last_turn,
        trl_says=r"(?i)mismatch between tokenized prompt|drops",
    ),
    PlantedFault(
        "TEMPLATE_DROPS_TOOLS", "tools and tool calls with a template that knows none", Family.CHATML, ERROR,
        template_without_tools,
        trl_says=r"(?i)tool",
    ),
    PlantedFault(
        "TEMPLATE_REFUSES_ROWS", "a template that raises for system turns, which the rows have", Family.CHATML, ERROR,
        template_that_refuses_system,
        trl_says=r"System role not supported",
    ),
)  # fmt: skip
