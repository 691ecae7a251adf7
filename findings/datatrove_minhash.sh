#!/usr/bin/env bash
# datatrove 0.10.1: which of two near duplicates MinHash keeps depends on the number of tasks, and one long document takes
# gigabytes.
#
# The kept document of a cluster is the root of a union-find over (task, place in the task), so another `tasks=` keeps
# others. The signature makes several arrays of 112 numbers of 8 bytes for each word. `HashConfig()` is xxhash, which
# refuses text from version 4 on ("Strings must be encoded before hashing"): with it, give hash_fc="sha1". The words of
# English come from spaCy, which the extra `processing` does not install.
#
# Output seen: kept by 1 and by 2 tasks: 20 and 20 documents, 2 of them different / 1.8 KB of memory for each word
#
# Why it matters: the corpus changes with the cluster's size, and a data set with one text of 20 MB ends in "out of
# memory". Take `save_cluster_id=True` and choose by an order of your own; compute long signatures in parts.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet datatrove==0.10.1 orjson regex spacy tokenizers
cd "$tmp"
venv/bin/python - <<'PY' 2>log
import json
import random
import resource
import sys
from pathlib import Path

import numpy as np
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.utils.hashing import HashConfig

seeded = random.Random(0)
words = [first + second + "o" for first in "bcdfghklmnpr" for second in "aeiou" for _ in range(9)]
texts = []
for _ in range(20):
    text = [seeded.choice("abcdefgh") + seeded.choice(words) for _ in range(90)]
    texts += [" ".join(text), " ".join([*text[:45], "other", *text[46:]])]
seeded.shuffle(texts)
Path("in").mkdir()
for part in range(4):
    rows = [{"text": text, "id": f"{part}-{number}"} for number, text in enumerate(texts[part::4])]
    Path(f"in/{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
config = MinhashConfig(hash_config=HashConfig(hash_fc="sha1"))


def kept_by(tasks):
    kept = set()
    folder = f"of{tasks}"
    collect = lambda data, rank, world_size: kept.update(one.id for one in data) or ()
    stages = [
        ([JsonlReader("in"), MinhashDedupSignature(f"{folder}/signatures", config)], tasks),
        ([MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/pairs", config=config)], config.num_buckets),
        ([MinhashDedupCluster(f"{folder}/pairs", f"{folder}/removed", config)], 1),
        ([JsonlReader("in"), MinhashDedupFilter(f"{folder}/removed"), collect], tasks),
    ]
    for number, (blocks, n) in enumerate(stages):
        if blocks[-1] is collect:
            for rank in range(n):
                blocks[2](blocks[1](blocks[0](None, rank, n), rank, n), rank, n)
        else:
            LocalPipelineExecutor(blocks, tasks=n, workers=1, logging_dir=f"{folder}/{number}").run()
    return kept


one, two = kept_by(1), kept_by(2)
print(f"kept by 1 and by 2 tasks: {len(one)} and {len(two)} documents, {len(one - two)} of them different")

n_words = 200_000
shingles = np.arange(n_words, dtype=np.uint64).reshape(-1, 1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
MinhashDedupSignature("signatures", config).get_signature(shingles)
kilobytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / n_words
print(f"{kilobytes:.1f} KB of memory for each word")
sys.exit(0 if one != two and kilobytes > 1 else 1)
PY
