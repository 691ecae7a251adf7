#!/usr/bin/env bash
# minijinja 3.1.0 and @huggingface/jinja 0.5.11 render valid chat templates otherwise than Jinja2 in transformers 5.23.0,
# without an error. Servers in Rust use the one, Transformers.js the other.
#
# Output seen (transformers | minijinja | @huggingface/jinja):
#   JSON with <            {"a": "<b>"} | {"a": "\u003cb\u003e"} | {"a": "<b>"}
#   a truth value          True | True | true
#   null as text           a None | a None | error
#   none is iterable       False | True | False
#   {%- generation -%}     a | error | a
#   '%s' % 'a'             a | error | error
#
# minijinja 2.12.0, which servers still have, also writes JSON without spaces: {"a":"\u003cb\u003e"}. So the same tools
# are another prompt there. llama.cpp (b11549) writes "a " for null, refuses the last, and agrees on the others.
#
# Why it matters: the model is served with prompts that it was not trained on. Compare with the engine that will serve
# (pipelines/doctor.py --engines).
#
# Exits 0 while this is so, 1 when it has changed. Needs node and npm.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet "transformers==5.23.0" "jinja2>=3.1.6" "minijinja==3.1.0"
cd "$tmp"
npm install --silent --no-audit --no-fund @huggingface/jinja@0.5.11 > /dev/null
export HF_HUB_OFFLINE=1
"$tmp/venv/bin/python" - <<'PY' 2>/dev/null
import json
import subprocess
import sys

import minijinja
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

CASES = {
    "JSON with <": ("{{ messages[0].value | tojson }}", ['{"a": "<b>"}', '{"a": "\\u003cb\\u003e"}', '{"a": "<b>"}']),
    "a truth value": ("{{ true }}", ["True", "True", "true"]),
    "null as text": ("{{ 'a ' ~ none }}", ["a None", "a None", "error"]),
    "none is iterable": ("{{ 'True' if none is iterable else 'False' }}", ["False", "True", "False"]),
    "{%- generation -%}": ("{%- generation -%}a{%- endgeneration -%}", ["a", "error", "a"]),
    "'%s' % 'a'": ("{{ '%s' % 'a' }}", ["a", "error", "error"]),
}
MESSAGES = [{"role": "user", "content": "Q", "value": {"a": "<b>"}}]
NODE = """
const { Template } = require("@huggingface/jinja");
const { template, messages } = JSON.parse(require("fs").readFileSync(0, "utf-8"));
process.stdout.write(new Template(template).render({ messages }));
"""
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
environment = minijinja.Environment(trim_blocks=True, lstrip_blocks=True, pycompat=True)


def rendered(template):
    yield tokenizer.apply_chat_template(MESSAGES, chat_template=template, tokenize=False)
    try:
        yield environment.render_str(template, messages=MESSAGES)
    except minijinja.TemplateError:
        yield "error"
    task = json.dumps({"template": template, "messages": MESSAGES})
    done = subprocess.run(["node", "-e", NODE], input=task, capture_output=True, text=True)
    yield done.stdout if done.returncode == 0 else "error"


is_so = True
for name, (template, expected) in CASES.items():
    found = list(rendered(template))
    print(f"{name:22} {' | '.join(found)}")
    is_so &= found == expected
sys.exit(not is_so)
PY
