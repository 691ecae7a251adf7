#!/usr/bin/env bash
# transformers 5.23.0: `load_best_model_at_end` keeps a worse model, without a message, where the best evaluation has no
# checkpoint.
#
# `save_steps` may be a multiple of `eval_steps`. The best step is then noted at each evaluation, but the best checkpoint
# is looked up at the next save by the name checkpoint-BEST. If the best evaluation was between two saves, there is no
# such folder, and the best checkpoint before it stays; without one nothing is loaded, and the last weights are the
# result. `best_metric` and `best_global_step` name the step that was not kept.
#
# Output seen: best step 2 of 4, best checkpoint None: the weights of step 4 are the result
#
# Why it matters: the log and trainer_state.json show the best value, and the saved model does not have it. Save at
# every evaluation (save_steps equal to eval_steps, or save_strategy: best).
#
# Exits 0 while this is so, 1 when it has changed. Installs torch (some hundred MB).
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cat > "$tmp/best.py" <<'PY'
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments


class Scripted(Trainer):
    """The first evaluation is the best one."""

    def evaluate(self, *arguments, **options):
        found = super().evaluate(*arguments, **options)
        found["eval_loss"] = float(self.state.global_step)
        return found


rows = [{"input_ids": torch.tensor([1, 2, 3, 4]), "labels": torch.tensor([1, 2, 3, 4])} for _ in range(16)]
config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
arguments = TrainingArguments(
    sys.argv[1], max_steps=4, per_device_train_batch_size=2, eval_strategy="steps", eval_steps=2, save_steps=4,
    load_best_model_at_end=True, metric_for_best_model="loss", report_to="none", use_cpu=True, disable_tqdm=True,
)
trainer = Scripted(LlamaForCausalLM(config), arguments, train_dataset=rows, eval_dataset=rows)
trainer.train()
state = trainer.state
print(f"best step {state.best_global_step} of {state.global_step}, best checkpoint {state.best_model_checkpoint}: "
      "the weights of step 4 are the result")
sys.exit((state.best_global_step, state.best_model_checkpoint) != (2, None))
PY
"$tmp/venv/bin/python" "$tmp/best.py" "$tmp/run" 2> /dev/null | tail -1
