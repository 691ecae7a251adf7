#!/usr/bin/env bash
# llama.cpp's server (xllamacpp 2026.10.11549, b11549) renders every chat with `enable_thinking` true unless the request
# says otherwise, also for a model whose template asks `if enable_thinking`, which in transformers, vLLM and TGI is off
# unless it is asked for. It also sets `date_string`.
#
# Output seen:
#   transformers: 'Q'
#   llama.cpp:    'Q<think>'
#   llama.cpp with chat_template_kwargs {"enable_thinking": false}: 'Q'
#
# Why it matters: a model trained without thoughts is served with a prompt that opens one (Gemma 4's templates, and
# Qwen 3.5's without thinking). Start the server with --reasoning off, or send chat_template_kwargs.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet "xllamacpp==2026.10.11549" "gguf==0.19.0" "jinja2>=3.1.6" "transformers==5.23.0"
cd "$tmp"
HF_HUB_OFFLINE=1 "$tmp/venv/bin/python" - <<'PY' 2>/dev/null
import json
import sys
from urllib.request import Request, urlopen

import gguf
import numpy
import xllamacpp
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

TEMPLATE = "{{ messages[0]['content'] }}{% if enable_thinking %}{{ '<think>' }}{% endif %}"
WIDTH = 32
writer = gguf.GGUFWriter("model.gguf", "llama")  # zeros: only the template matters
tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
for name in ("context_length", "embedding_length", "feed_forward_length"):
    getattr(writer, f"add_{name}")(WIDTH)
writer.add_block_count(1)
writer.add_head_count(1)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_tokenizer_model("llama")
writer.add_token_list(tokens)
writer.add_token_scores([0.0] * len(tokens))
writer.add_token_types([2, 3, 3, *[6] * 256])
writer.add_chat_template(TEMPLATE)
shapes = {"token_embd": (len(tokens), WIDTH), "output": (len(tokens), WIDTH), "output_norm": (WIDTH,)}
shapes |= {f"blk.0.{name}": (WIDTH,) for name in ("attn_norm", "ffn_norm")}
names = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
shapes |= {f"blk.0.{name}": (WIDTH, WIDTH) for name in names}
for name, shape in shapes.items():
    writer.add_tensor(f"{name}.weight", numpy.zeros(shape, numpy.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

params = xllamacpp.CommonParams()
params.model.path, params.port, params.warmup = "model.gguf", 0, False
server = xllamacpp.Server(params)


def rendered(**more):
    body = json.dumps({"messages": [{"role": "user", "content": "Q"}], **more}).encode()
    request = Request(f"{server.listening_address}/apply-template", body, {"Content-Type": "application/json"})
    return json.load(urlopen(request))["prompt"]


tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), chat_template=TEMPLATE)
own = tokenizer.apply_chat_template([{"role": "user", "content": "Q"}], tokenize=False)
plain, off = rendered(), rendered(chat_template_kwargs={"enable_thinking": False})
print(f"transformers: {own!r}")
print(f"llama.cpp:    {plain!r}")
print(f'llama.cpp with chat_template_kwargs {{"enable_thinking": false}}: {off!r}', flush=True)
sys.exit(not (own == off == "Q" and plain == "Q<think>"))
PY
