#!/usr/bin/env bash
# tokenizers 0.23.3: training a Unigram tokenizer twice on the same text gives two different files, also with one thread.
#
# Seen: each process finds the same set of tokens, but another order (so other ids) and other scores. Scores differ in
# the last digits (they are added up in the order of a hash table), and by up to 0.01 for the characters of
# `initial_alphabet` that are not in the text: the trainer gives them lowest + 0, lowest + 0.0001, lowest + 0.0002, ...
# in the order of a hash table too. RAYON_NUM_THREADS=1 and a fixed PYTHONHASHSEED change nothing. BPE is reproducible.
#
# Why it matters: a model trained with one file reads its own ids as other tokens with the other file. Keep the file that
# was trained with, or sort the vocabulary (scores rounded) before the first use.
#
# Exits 0 while the behavior is as described, 1 if it changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet tokenizers==0.23.3
cat > "$tmp/train.py" <<'PYTHON'
import json
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

kind = sys.argv[1]
texts = [f"def item_{n}(value):\n    return value * {n} + offset_{n % 7}\n" for n in range(400)]
tokenizer = Tokenizer(models.Unigram() if kind == "unigram" else models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
trainer_class = trainers.UnigramTrainer if kind == "unigram" else trainers.BpeTrainer
alphabet = pre_tokenizers.ByteLevel.alphabet()
tokenizer.train_from_iterator(texts, trainer_class(vocab_size=400, initial_alphabet=alphabet, show_progress=False))
print(json.dumps(json.loads(tokenizer.to_str())["model"]["vocab"]))
PYTHON
export RAYON_NUM_THREADS=1 PYTHONHASHSEED=0
for kind in unigram bpe; do
    for number in 1 2 3; do "$tmp/venv/bin/python" "$tmp/train.py" $kind > "$tmp/$kind$number.json"; done
done
"$tmp/venv/bin/python" - "$tmp" <<'PYTHON'
import json
import sys

runs = {kind: [json.load(open(f"{sys.argv[1]}/{kind}{n}.json")) for n in (1, 2, 3)] for kind in ("unigram", "bpe")}
scores = [dict(map(tuple, run)) for run in runs["unigram"]]
first, *others = scores
same_tokens = all(other.keys() == first.keys() for other in others)
same_order = all(run == runs["unigram"][0] for run in runs["unigram"])
largest = max(abs(first[token] - other[token]) for other in others for token in first if token in other)
same_bpe = all(run == runs["bpe"][0] for run in runs["bpe"])
print(f"unigram: same tokens {same_tokens}, same file {same_order}, largest difference of a score {largest:.4f}")
print(f"bpe: same file {same_bpe}")
sys.exit(0 if same_tokens and not same_order and largest > 0.001 and same_bpe else 1)
PYTHON
