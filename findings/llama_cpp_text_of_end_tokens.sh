#!/usr/bin/env bash
# llama.cpp b11549 (xllamacpp 2026.10.11549): a token whose text is "</s>", "[EOS]", "<eos>" and so on ends every answer
# and is one token in every text, also where it is an ordinary token of the vocabulary.
#
# Seen: src/llama-vocab.cpp (llama_vocab::impl::load) goes through the vocabulary by text, puts such tokens into the set
# of end tokens and makes them control tokens, whatever token_type and eos_token_id of the file say.
#
# Why it matters: Qwen2.5's vocabulary has an ordinary "</s>" (id 128247), which its pre-tokenizer never lets form: in
# transformers the text "</s>" is "</", "s", ">". In llama.cpp it is the end token, so a prompt about HTML or about
# sentence markers is another prompt. Write another text for such a token if the tokenizer makes it of no text.
#
# Exits 0 while the behavior is as described, 1 if it changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet gguf==0.19.0 xllamacpp==2026.10.11549
cat > "$tmp/show.py" <<'PYTHON'
import json
import sys
import urllib.request

import gguf
import numpy
import xllamacpp

WIDTH = 32
path = sys.argv[1]
vocabulary = ["<|stop|>", "</s>", *(chr(number) for number in range(33, 127)), "Ġ"]  # no merges: "</s>" never forms
writer = gguf.GGUFWriter(path, "llama")
writer.add_context_length(64)
writer.add_embedding_length(WIDTH)
writer.add_feed_forward_length(WIDTH)
writer.add_block_count(1)
writer.add_head_count(1)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("gpt-2")
writer.add_token_list(vocabulary)
writer.add_token_types([gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (len(vocabulary) - 1))
writer.add_token_merges(["a b"])
writer.add_eos_token_id(0)
writer.add_add_bos_token(False)
shapes = {"token_embd": (len(vocabulary), WIDTH), "output": (len(vocabulary), WIDTH), "output_norm": (WIDTH,)}
for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
    shapes[f"blk.0.{name}"] = (WIDTH, WIDTH)
for name in ("attn_norm", "ffn_norm"):
    shapes[f"blk.0.{name}"] = (WIDTH,)
for name, shape in shapes.items():
    writer.add_tensor(f"{name}.weight", numpy.zeros(shape, numpy.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

params = xllamacpp.CommonParams()
params.model.path = path
server = xllamacpp.Server(params)
body = json.dumps({"content": "a</s>b", "parse_special": True}).encode()
request = urllib.request.Request(f"{server.listening_address}/tokenize", body, {"Content-Type": "application/json"})
tokens = [vocabulary[number] for number in json.load(urllib.request.urlopen(request))["tokens"]]
print("tokens of 'a</s>b', where </s> is an ordinary token without merges:", tokens)
sys.exit(0 if tokens == ["a", "</s>", "b"] else 1)
PYTHON
"$tmp/venv/bin/python" "$tmp/show.py" "$tmp/model.gguf" 2> "$tmp/log" || { code=$?; tail -3 "$tmp/log"; exit $code; }
