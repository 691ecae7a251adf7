#!/usr/bin/env bash
# llama.cpp (xllamacpp 2026.10.11549, its build b11549): the log-probabilities of an answer leave out tokens that are a
# part of a character.
#
# Seen: with "logprobs": true the server holds back a token whose bytes end inside a UTF-8 character, and tells only the
# token that completes it. So `choices[0].logprobs.content` has fewer entries than `usage.completion_tokens`, the ids in
# it are not the ids of the answer, and nothing says where some are missing. Of 64 tokens of an answer in Arabic 37 were
# told, of one in Chinese 24.
#
# Why it matters: whoever feeds the told ids back to a model (to score an answer, to compare two engines) reads another
# text: a KL of 0.37 nats a token between equal models. Compare the number of entries with completion_tokens, and use the
# told tokens only up to the place where the ids are known otherwise.
#
# Exits 0 while the behavior is as described, 1 if it changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet xllamacpp==2026.10.11549 gguf==0.19.0 numpy httpx
cat > "$tmp/model.py" <<'PYTHON'
"""A random Llama of one layer whose tokens are single bytes: most of its answer is parts of characters."""

import sys

import gguf
import numpy as np

width, n_words = 64, 258
visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
others = [byte for byte in range(256) if byte not in visible]
spelled = {byte: chr(byte) for byte in visible} | {byte: chr(256 + n) for n, byte in enumerate(others)}
writer = gguf.GGUFWriter(sys.argv[1], "llama")
writer.add_context_length(256)
writer.add_embedding_length(width)
writer.add_block_count(1)
writer.add_feed_forward_length(width)
writer.add_head_count(2)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_vocab_size(n_words)
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("gpt-2")
writer.add_token_list([spelled[byte] for byte in range(256)] + ["<end>", "ab"])
writer.add_token_types([gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL, gguf.TokenType.NORMAL])
writer.add_token_merges(["a b"])  # it needs one
writer.add_eos_token_id(256)
random = np.random.default_rng(0)
square, wide = (width, width), (n_words, width)
layers = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
names = {f"blk.0.{name}.weight": square for name in layers}
for name, shape in {"token_embd.weight": wide, "output.weight": wide, **names}.items():
    writer.add_tensor(name, random.normal(0, 0.3, shape).astype(np.float32))
for name in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"):
    writer.add_tensor(name, np.ones(width, np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
PYTHON
cat > "$tmp/ask.py" <<'PYTHON'
import sys

import httpx
import xllamacpp

asked = xllamacpp.CommonParams()
asked.model.path, asked.n_ctx, asked.warmup = sys.argv[1], 256, False
server = xllamacpp.Server(asked)
request = {"prompt": "a", "max_tokens": 64, "temperature": 0, "logprobs": 1}
answer = httpx.post(f"{server.listening_address}/v1/completions", json=request, timeout=60).json()
told, n_tokens = answer["choices"][0]["logprobs"]["content"], answer["usage"]["completion_tokens"]
print(f"{n_tokens} tokens, {len(told)} told")
sys.exit(0 if len(told) < n_tokens - 1 else 1)
PYTHON
"$tmp/venv/bin/python" "$tmp/model.py" "$tmp/model.gguf"
"$tmp/venv/bin/python" "$tmp/ask.py" "$tmp/model.gguf"
