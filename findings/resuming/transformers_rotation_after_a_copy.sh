#!/usr/bin/env bash
# transformers 5.23.0: in a copied run folder `save_total_limit` removes the newer checkpoint and keeps the older one.
#
# The trainer ranks checkpoints by the time of change of their folders, not by the step in their name. A copy that does
# not keep times (cp -r, most object stores) gives each folder the time at which it was copied, and in the order of
# names checkpoint-10 comes before checkpoint-8. After the run is resumed from step 10, the next save removes
# checkpoint-10.
#
# Output seen: copied ['checkpoint-8', 'checkpoint-10'], after the next save ['checkpoint-8', 'checkpoint-12']
#
# Why it matters: with save_total_limit: 2 the second checkpoint is there in case that the newest is damaged, and it is
# older than asked for, by as many steps as the run had saved. Copy with times (cp -a, rsync -a), or rank by step.
#
# Exits 0 while this is so, 1 when it has changed. Installs torch (some hundred MB).
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cat > "$tmp/rotation.py" <<'PY'
import os
import sys
import time
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

rows = [{"input_ids": torch.tensor([1, 2, 3, 4]), "labels": torch.tensor([1, 2, 3, 4])} for _ in range(16)]
run = Path(sys.argv[1])


def train(last_step, resume):
    config = LlamaConfig(vocab_size=8, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    keys = TrainingArguments(output_dir=str(run), max_steps=last_step, per_device_train_batch_size=1, save_steps=2,
                             save_total_limit=2, use_cpu=True, report_to="none", disable_tqdm=True)
    Trainer(LlamaForCausalLM(config), keys, train_dataset=rows).train(resume_from_checkpoint=resume)


def checkpoints():
    return sorted((folder.name for folder in run.glob("checkpoint-*")), key=len)


train(10, None)
copied = checkpoints()
hour_ago = time.time() - 3600
for seconds, name in enumerate(sorted(copied)):  # as a copy in the order of names leaves them
    os.utime(run / name, (hour_ago + 10 * seconds, hour_ago + 10 * seconds))
train(12, True)
print(f"copied {copied}, after the next save {checkpoints()}")
raise SystemExit(0 if checkpoints() == ["checkpoint-8", "checkpoint-12"] else 1)
PY
"$tmp/venv/bin/python" "$tmp/rotation.py" "$tmp/run" 2> /dev/null | grep "^copied"
