"""Chat templates of our own that behave as those of families that TRL does not ship, as small as their behavior."""

_TALK = "{%- for m in messages -%}"
_END = "{%- endfor -%}"

# The system turn is inside the first question; a space before and after each answer.
LLAMA_2 = (
    "{%- set system = messages[0].content if messages[0].role == 'system' else '' -%}"
    + _TALK
    + "{%- if m.role == 'user' -%}{{- bos_token + '[INST] ' -}}"
    "{%- if system and loop.index0 == 1 -%}{{- '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' -}}{%- endif -%}"
    "{{- m.content.strip() + ' [/INST]' -}}"
    "{%- elif m.role == 'assistant' -%}{{- ' ' + m.content.strip() + ' ' + eos_token -}}{%- endif -%}" + _END
)
# The system turn is inside the last message, if that is a question; calls need ids of nine characters.
MISTRAL = (
    "{%- set system = messages[0].content if messages[0].role == 'system' else '' -%}{{- bos_token -}}"
    + _TALK
    + "{%- if m.role == 'user' -%}"
    "{%- if tools -%}{{- '[AVAILABLE_TOOLS] ' + (tools | tojson) + '[/AVAILABLE_TOOLS]' -}}{%- endif -%}"
    "{{- '[INST] ' + (system + '\\n\\n' if loop.last and system else '') + m.content + '[/INST]' -}}"
    "{%- elif m.tool_calls -%}{{- '[TOOL_CALLS] [' -}}"
    "{%- for call in m.tool_calls -%}"
    "{%- if call.id is not defined or call.id | length != 9 -%}"
    "{{- raise_exception('Tool call IDs should be alphanumeric strings with length 9!') -}}{%- endif -%}"
    "{{- (call.function | tojson)[:-1] + ', \"id\": \"' + call.id + '\"}' + (', ' if not loop.last else ']') -}}"
    "{%- endfor -%}{{- eos_token -}}"
    "{%- elif m.role == 'assistant' -%}{{- ' ' + m.content.strip() + eos_token -}}"
    "{%- elif m.role == 'tool' -%}{{- '[TOOL_RESULTS] {\"content\": ' + (m.content | tojson) + '}[/TOOL_RESULTS]' -}}"
    "{%- endif -%}" + _END
)
VICUNA = (
    "{%- if messages[0].role == 'system' -%}{{- messages[0].content + ' ' -}}{%- endif -%}" + _TALK
    + "{%- if m.role == 'user' -%}{{- 'USER: ' + m.content + ' ' -}}"
    "{%- elif m.role == 'assistant' -%}{{- 'ASSISTANT: ' + m.content + eos_token -}}{%- endif -%}" + _END
    + "{%- if add_generation_prompt -%}{{- 'ASSISTANT:' -}}{%- endif -%}"
)  # fmt: skip
ZEPHYR = (
    _TALK + "{{- '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' -}}" + _END
    + "{%- if add_generation_prompt -%}{{- '<|assistant|>\\n' -}}{%- endif -%}"
)  # fmt: skip
# An end of two tokens; the header of the next turn is written whether it is asked for or not.
COMMAND_A = (
    "{{- bos_token -}}" + _TALK
    + "{{- '<|START_OF_TURN_TOKEN|><|' + m.role | upper + '_TOKEN|>' -}}"
    "{{- '<|START_RESPONSE|>' + m.content + '<|END_RESPONSE|>' if m.role == 'assistant' else m.content -}}"
    "{{- '<|END_OF_TURN_TOKEN|>' -}}" + _END + "{{- '<|START_OF_TURN_TOKEN|><|ASSISTANT_TOKEN|>' -}}"
)  # fmt: skip
# The id of a call is the only place where its name is.
KIMI_K2 = (
    "{%- if tools -%}{{- '<|im_system|>tool_declare<|im_middle|>' + (tools | tojson) + '<|im_end|>' -}}{%- endif -%}"
    + _TALK
    + "{{- '<|im_' + m.role + '|>' + m.role + '<|im_middle|>' + (m.content or '') -}}"
    "{%- if m.tool_calls -%}{{- '<|tool_calls_section_begin|>' -}}{%- for call in m.tool_calls -%}"
    "{{- '<|tool_call_begin|>' + (call.id or '') + '<|tool_call_argument_begin|>' -}}"
    "{{- (call.function.arguments | tojson) + '<|tool_call_end|>' -}}{%- endfor -%}"
    "{{- '<|tool_calls_section_end|>' -}}{%- endif -%}{{- '<|im_end|>' -}}"
    + _END
    + "{%- if add_generation_prompt -%}{{- '<|im_assistant|>assistant<|im_middle|>' -}}{%- endif -%}"
)
# Arguments are joined as text; thoughts are always cut off, and the prompt opens one.
_DEEPSEEK = (
    "{{- bos_token + (tools | tojson if tools else '') -}}" + _TALK
    + "{%- if m.role == 'user' -%}{{- '<｜User｜>' + m.content -}}"
    "{%- elif m.role == 'system' -%}{{- m.content -}}"
    "{%- elif m.role == 'tool' -%}{{- '<｜tool▁output▁begin｜>' + m.content + '<｜tool▁output▁end｜>' -}}"
    "{%- elif m.tool_calls -%}{{- '<｜Assistant｜>' -}}{%- for call in m.tool_calls -%}"
    "{{- '<｜tool▁call▁begin｜>' + call.function.name + '<｜tool▁sep｜>' + call.function.arguments -}}"
    "{{- '<｜tool▁call▁end｜>' -}}{%- endfor -%}{{- '<｜end▁of▁sentence｜>' -}}"
    "{%- else -%}{{- '<｜Assistant｜>' + m.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' -}}"
    "{%- endif -%}" + _END
)  # fmt: skip
DEEPSEEK_V3 = _DEEPSEEK + "{%- if add_generation_prompt -%}{{- '<｜Assistant｜>' -}}{%- endif -%}"
DEEPSEEK_R1 = _DEEPSEEK + "{%- if add_generation_prompt -%}{{- '<｜Assistant｜><think>\\n' -}}{%- endif -%}"
# The prompt closes an empty thought, which the finished turn has not, or of which it has the closing mark alone.
QWQ = _DEEPSEEK + "{%- if add_generation_prompt -%}{{- '<｜Assistant｜><think>\\n\\n</think>\\n\\n' -}}{%- endif -%}"
DEEPSEEK_V3_2 = _DEEPSEEK.replace("'<｜Assistant｜>' + m.content", "'<｜Assistant｜></think>' + m.content") + (
    "{%- if add_generation_prompt -%}{{- '<｜Assistant｜><think></think>' -}}{%- endif -%}"
)
# A call ends with a token of its own.
FUNCTIONARY = (
    "{{- bos_token -}}" + _TALK + "{{- '<|start|>' + m.role + '\\n' + (m.content or '') -}}"
    "{%- if tools and loop.first -%}{{- tools | tojson -}}{%- endif -%}"
    "{%- for call in m.tool_calls or [] -%}"
    "{{- '<function=' + call.function.name + '>' + (call.function.arguments | tojson) + '</function>' -}}"
    "{%- endfor -%}{{- '<|eom|>' if m.tool_calls else '<|eot|>' -}}" + _END
    + "{%- if add_generation_prompt -%}{{- '<|start|>assistant\\n' -}}{%- endif -%}"
)  # fmt: skip
# The end of turn comes between an answer's words and its call.
NEMOTRON_NANO = FUNCTIONARY.replace(
    "+ (m.content or '') -}}", "+ (m.content + '<|eot|>' if m.content else '') -}}"
).replace("'<|eom|>' if m.tool_calls else '<|eot|>'", "'<|eot|>' if m.tool_calls else ''")
# The last turn has no end until another message follows.
QWEN_1_5 = (
    _TALK + "{{- '<|im_start|>' + m.role + '\\n' + m.content -}}"
    "{%- if not loop.last or add_generation_prompt -%}{{- '<|im_end|>\\n' -}}{%- endif -%}" + _END
    + "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)  # fmt: skip
# No header is asked for, so the model writes it.
NO_GENERATION_PROMPT = _TALK + "{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' -}}" + _END
# Text parts alone are read.
PARTS_ALONE = (
    _TALK + "{{- '<|im_start|>' + m.role + '\\n' -}}{%- for part in m.content -%}{%- if part.type == 'text' -%}"
    "{{- part.text -}}{%- endif -%}{%- endfor -%}{{- '<|im_end|>\\n' -}}" + _END
    + "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)  # fmt: skip
ALPACA = (
    _TALK + "{{- ('### Instruction:\\n' if m.role == 'user' else '### Response:\\n') + m.content + '\\n\\n' -}}" + _END
    + "{%- if add_generation_prompt -%}{{- '### Response:\\n' -}}{%- endif -%}"
)  # fmt: skip
# Values are written as Python prints them.
PYTHON_VALUES = (
    "{{- tools | tojson if tools else '' -}}" + _TALK + "{{- '<|im_start|>' + m.role + '\\n' + (m.content or '') -}}"
    "{%- for call in m.tool_calls or [] -%}{{- '<function=' + call.function.name + '>' -}}"
    "{%- for key, value in call.function.arguments.items() -%}"
    "{{- '<parameter=' + key + '>' + value | string + '</parameter>' -}}{%- endfor -%}"
    "{{- '</function>' -}}{%- endfor -%}"
    "{{- '<|im_end|>\\n' -}}" + _END
    + "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)  # fmt: skip
