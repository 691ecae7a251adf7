#!/usr/bin/env bash
# mlx-lm 0.32.2 does not load a GPT-2 that transformers 5 saved: it knows the weights as `wte.weight` and `h.0....`, the
# names of the original checkpoint on the Hub, and `save_pretrained` writes `transformer.wte.weight`.
#
# Output seen:
#   wte.weight:             loaded
#   transformer.wte.weight: ValueError: Received 16 parameters not in model
#
# Why it matters: a fine-tuned GPT-2, which every other engine reads, has to be renamed first. For Llama and Qwen2 both
# agree on `model.`.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet "mlx[cpu]==0.32.4" "mlx-lm==0.32.2"
cd "$tmp"
"$tmp/venv/bin/python" - <<'PY'
import json
import sys
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models import gpt2
from mlx_lm.utils import load_model

SHAPE = {"n_ctx": 16, "n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 16, "layer_norm_epsilon": 1e-5,
         "vocab_size": 32}
own = dict(tree_flatten(gpt2.Model(gpt2.ModelArgs(model_type="gpt2", num_key_value_heads=2, **SHAPE)).parameters()))
transposed = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


def outcome(prefix):
    folder = Path(f"with-{prefix or 'no'}-prefix")
    folder.mkdir()
    weights = {name.removeprefix("model."): one.T if name.endswith(transposed) else one for name, one in own.items()}
    mx.save_safetensors(str(folder / "model.safetensors"), {prefix + name: one for name, one in weights.items()})
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", **SHAPE}))
    try:
        load_model(folder)
    except ValueError as error:
        return f"ValueError: {str(error).splitlines()[0].partition(':')[0].strip()}"
    return "loaded"


found = {prefix: outcome(prefix) for prefix in ("", "transformer.")}
for prefix, said in found.items():
    print(f"{prefix + 'wte.weight:':23} {said}")
sys.exit(not (found[""] == "loaded" and "not in model" in found["transformer."]))
PY
