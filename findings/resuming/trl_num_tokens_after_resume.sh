#!/usr/bin/env bash
# TRL 1.16.0: after `resume_from_checkpoint` the logged `num_tokens` of SFTTrainer starts at 0 again.
#
# The trainer adds up the tokens of its batches in an attribute that no checkpoint has. A run of 4 steps logs a rising
# sum; the same run interrupted after step 2 and resumed logs the tokens of step 3 alone in step 3, in one log history
# with the two sums before it. Losses and weights are equal. DPOTrainer counts in the same way.
#
# Output seen: num_tokens straight [14, 28, 42, 56], resumed [14, 28, 14, 28]
#
# Why it matters: a curve over tokens goes back, and tokens per second or the cost of the run, computed from the last
# value, describe its last part. Restore the attribute from what the earlier log says.
#
# Exits 0 while this is so, 1 when it has changed. Installs torch (some hundred MB).
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet torch==2.13.0 trl==1.16.0 transformers==5.23.0 accelerate==1.15.0 datasets==5.2.0
cat > "$tmp/resume.py" <<'PY'
import sys
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

words = {word: number for number, word in enumerate(["<pad>", "<end>", "<unk>", "a", "b", "c", "d"])}
core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
core.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<end>", unk_token="<unk>")
rows = Dataset.from_dict({"text": ["a b c d a b"] * 8})


def train(folder, resume):
    config = LlamaConfig(vocab_size=8, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                         pad_token_id=0, eos_token_id=1)
    keys = SFTConfig(output_dir=folder, max_steps=4, per_device_train_batch_size=2, save_steps=2, logging_steps=1,
                     use_cpu=True, bf16=False, report_to="none", disable_tqdm=True)
    trainer = SFTTrainer(LlamaForCausalLM(config), keys, train_dataset=rows, processing_class=tokenizer)
    trainer.train(resume_from_checkpoint=resume)
    return [int(entry["num_tokens"]) for entry in trainer.state.log_history if "num_tokens" in entry]


straight = train(sys.argv[1], None)
resumed = train(sys.argv[1], f"{sys.argv[1]}/checkpoint-2")
print(f"num_tokens straight {straight}, resumed {resumed}")
raise SystemExit(0 if straight == sorted(straight) and resumed[:2] == straight[:2] and resumed[2] < resumed[1] else 1)
PY
"$tmp/venv/bin/python" "$tmp/resume.py" "$tmp/run" 2> /dev/null | grep "^num_tokens straight"
