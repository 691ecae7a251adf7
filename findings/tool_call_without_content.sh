#!/usr/bin/env bash
# transformers 5.23.0: `apply_chat_template` removes keys whose value is None from each message before it renders them.
# A template that asks `message['content'] is none`, as those of DeepSeek-R1 and V3 do, never sees a None again: in Jinja
# a missing key is undefined, and undefined is not none. So a tool call in OpenAI's form (`content: null` next to
# `tool_calls`) takes the branch of plain text, and name and arguments disappear without an error.
#
# Output seen:
#   template alone:       Q / CALL look_up{"place": "Bath"}
#   apply_chat_template:  Q / TEXT
#
# Why it matters: a model is trained on, or asked with, conversations in which no tool was called. With content: "" it is
# the same. Compare what is rendered with the name and the arguments of each call.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet "transformers==5.23.0" "jinja2>=3.1.6"
export HF_HUB_OFFLINE=1
"$tmp/venv/bin/python" - <<'PY' 2>/dev/null
import sys

from jinja2 import Environment
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }} / {% endif %}"
    "{% if m['role'] == 'assistant' and m['content'] is none %}{% for call in m['tool_calls'] %}"
    "{{ 'CALL ' + call['function']['name'] + call['function']['arguments'] }}{% endfor %}{% endif %}"
    "{% if m['role'] == 'assistant' and m['content'] is not none %}TEXT{{ m['content'] }}{% endif %}{% endfor %}"
)
call = {"type": "function", "function": {"name": "look_up", "arguments": '{"place": "Bath"}'}}
messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), chat_template=TEMPLATE)
alone = Environment().from_string(TEMPLATE).render(messages=messages)
applied = tokenizer.apply_chat_template(messages, tokenize=False)
print("template alone:      ", alone)
print("apply_chat_template: ", applied)
sys.exit(not ("look_up" in alone and "look_up" not in applied))
PY
