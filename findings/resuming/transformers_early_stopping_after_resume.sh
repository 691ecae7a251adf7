#!/usr/bin/env bash
# transformers 5.23.0: `EarlyStoppingCallback` counts from 0 again when a run is resumed.
#
# Its count of evaluations without a better one is written into each checkpoint's trainer_state.json
# (`stateful_callbacks`), and read only with `restore_callback_states_from_checkpoint: true`, which is off by default and
# restores every callback. The loop begins the next step before it looks at a count that is over already.
#
# Output seen: straight the run ends at step 6, resumed from step 4 at step 8
#
# Why it matters: a run that is interrupted often never stops early, and is another run than the uninterrupted one. The
# count follows from `log_history`, which is restored: count the evaluations after `best_global_step`.
#
# Exits 0 while this is so, 1 when it has changed. Installs torch (some hundred MB).
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cat > "$tmp/patience.py" <<'PY'
import sys
from pathlib import Path

import torch
from transformers import EarlyStoppingCallback, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments


class Scripted(Trainer):
    """The first evaluation is the best one."""

    def log(self, logs, start_time=None):
        if "eval_loss" in logs:
            logs["eval_loss"] = float(self.state.global_step)
        super().log(logs, start_time)


def last_step(folder, checkpoint=None):
    rows = [{"input_ids": torch.tensor([1, 2, 3, 4]), "labels": torch.tensor([1, 2, 3, 4])} for _ in range(64)]
    config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    arguments = TrainingArguments(
        folder, max_steps=20, per_device_train_batch_size=2, eval_strategy="steps", eval_steps=2, save_steps=2,
        load_best_model_at_end=True, metric_for_best_model="loss", report_to="none", use_cpu=True, disable_tqdm=True,
    )
    stopping = EarlyStoppingCallback(early_stopping_patience=2)
    model = LlamaForCausalLM(config)
    trainer = Scripted(model, arguments, train_dataset=rows, eval_dataset=rows, callbacks=[stopping])
    trainer.train(resume_from_checkpoint=checkpoint)
    return trainer.state.global_step


straight = last_step(sys.argv[1])
resumed = last_step(sys.argv[1], str(Path(sys.argv[1], "checkpoint-4")))
print(f"straight the run ends at step {straight}, resumed from step 4 at step {resumed}")
sys.exit((straight, resumed) != (6, 8))
PY
"$tmp/venv/bin/python" "$tmp/patience.py" "$tmp/run" 2> /dev/null | tail -1
