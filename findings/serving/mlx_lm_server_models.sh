#!/usr/bin/env bash
# mlx-lm 0.32.2: `mlx_lm.server --model FOLDER` answers GET /v1/models with headers and no body on a machine where
# nothing was ever downloaded from the Hub: it scans the Hub's cache, whose folder does not exist, and raises
# CacheNotFound after the status 200 is sent. Chats are answered. The model in FOLDER is not in the list either.
#
# Output seen:
#   without the cache folder: 200, 0 bytes
#   with an empty one:        200, 107 bytes
#
# Why it matters: clients that ask for the models first take the server for broken. Make the folder (HF_HUB_CACHE).
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'kill "${server:-0}" 2> /dev/null || true; rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet "mlx[cpu]==0.32.4" "mlx-lm==0.32.2"
cd "$tmp"
cat > model.py <<'PY'
import json

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.llama import Model, ModelArgs
from pathlib import Path
from tokenizers import Tokenizer, models, pre_tokenizers

folder = Path("model")
folder.mkdir()
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
Tokenizer(models.BPE({one: number for number, one in enumerate(letters)}, [])).save("model/tokenizer.json")
(folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
config = {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 32,
          "num_attention_heads": 2, "rms_norm_eps": 1e-5, "vocab_size": 256}
(folder / "config.json").write_text(json.dumps(config))
weights = dict(tree_flatten(Model(ModelArgs.from_dict(config)).parameters()))
mx.save_safetensors("model/model.safetensors", weights, metadata={"format": "mlx"})
PY
"$tmp/venv/bin/python" model.py
port=$("$tmp/venv/bin/python" -c "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])")
HF_HUB_OFFLINE=1 HF_HUB_CACHE="$tmp/cache" "$tmp/venv/bin/mlx_lm.server" --model model --port "$port" 2> log &
server=$!
"$tmp/venv/bin/python" - "$port" <<'PY'
import os
import sys
import time
from http.client import HTTPConnection


def asked():
    connection = HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
    connection.request("GET", "/v1/models")
    answer = connection.getresponse()
    return answer.status, len(answer.read())


for _ in range(240):
    try:
        without = asked()
        break
    except OSError:
        time.sleep(0.5)
os.mkdir("cache")
with_one = asked()
print(f"without the cache folder: {without[0]}, {without[1]} bytes")
print(f"with an empty one:        {with_one[0]}, {with_one[1]} bytes")
sys.exit(not (without == (200, 0) and with_one[1] > 0))
PY
