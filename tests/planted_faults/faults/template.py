"""Faults of the chat template and the end token."""

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
