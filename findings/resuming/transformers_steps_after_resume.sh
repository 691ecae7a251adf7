#!/usr/bin/env bash
# transformers 5.23.0: a run resumed from the checkpoint of its last step trains one more, and the first log line after a
# checkpoint in the middle of a line has the mean loss of its second part.
#
# The loop looks at `max_steps` after a step, not before one, and `_tr_loss`, the sum of the losses since the last log,
# is not in a checkpoint.
#
# Output seen: resumed from step 6 of 6 the run ends at step 7; loss of step 4: 2.0755 straight, 2.2968 resumed from step 3
#
# Why it matters: a job that is killed while the final model is written (evaluation, upload, a full queue) is requeued and
# ends as another model than the uninterrupted one. Compare `global_step` with `max_steps` before an epoch, and save
# `_tr_loss`, `_total_loss_scalar` and `_globalstep_last_logged`.
#
# Exits 0 while this is so, 1 when it has changed. Installs torch (some hundred MB).
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cat > "$tmp/steps.py" <<'PY'
import sys
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments, set_seed


def run(folder, checkpoint=None):
    set_seed(0)
    rows = [{"input_ids": ids, "labels": ids} for ids in torch.randint(0, 8, (64, 4))]
    config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    arguments = TrainingArguments(
        folder, max_steps=6, per_device_train_batch_size=2, logging_steps=2, save_steps=3, learning_rate=0.1,
        report_to="none", use_cpu=True, disable_tqdm=True,
    )
    trainer = Trainer(LlamaForCausalLM(config), arguments, train_dataset=rows)
    trainer.train(resume_from_checkpoint=checkpoint and str(Path(folder, checkpoint)))
    losses = {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}
    return trainer.state.global_step, losses[4]


_, straight = run(sys.argv[1])
_, resumed = run(sys.argv[1], "checkpoint-3")
last, _ = run(sys.argv[1], "checkpoint-6")
print(f"resumed from step 6 of 6 the run ends at step {last}; "
      f"loss of step 4: {straight:.4f} straight, {resumed:.4f} resumed from step 3")
sys.exit(last != 7 or straight == resumed)
PY
"$tmp/venv/bin/python" "$tmp/steps.py" "$tmp/run" 2> /dev/null | tail -1
