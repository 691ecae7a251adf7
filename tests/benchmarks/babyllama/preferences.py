"""Preferences on a real base: SFT on the chosen answers, then DPO on that adapter; held-out pairs before and after.

    BASE2INSTRUCT_SHARED_DATA=../shared/data python tests/benchmarks/babyllama/preferences.py

The rows are those of rasbt's LLMs-from-scratch (1,100 requests, each with a polite and an impolite answer; 6 pairs are
equal), the base is a character-level Llama of 969,216 parameters with a context of 256. Pairs that do not fit are
dropped and counted in the ledger. SFT sees the chosen answers of the training split only, and DPO's pairs are split by
the same groups. DPO's learning rate is the better of two (5e-4, 1e-3) on the validation split, measured with
`validation` as the only argument; nothing else was searched. Without it the test split is measured.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[3]
SPLIT = ("--validation_size", "0.1", "--test_size", "0.15")
QUIET = ("--report_to", "none", "--disable_tqdm", "true", "--bf16", "false", "--activation_checkpointing", "false",
         "--save_strategy", "no", "--max_length", "256", "--seed", "0")  # fmt: skip
SFT = ("--use_peft", "true", "--lora_r", "16", "--lora_dropout", "0", "--learning_rate", "3e-3",
       "--num_train_epochs", "2", "--per_device_train_batch_size", "16", "--lr_scheduler_type", "cosine",
       "--eval_strategy", "no")  # fmt: skip
DPO = ("--learning_rate", "1e-3", "--num_train_epochs", "1", "--per_device_train_batch_size", "16", "--beta", "0.1",
       "--lr_scheduler_type", "cosine", "--warmup_steps", "0.1", "--eval_strategy", "epoch")  # fmt: skip


def run(*arguments: str | Path) -> float:
    """Run a program and return its seconds."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *map(str, arguments)], cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def share(estimate: dict[str, Any]) -> str:
    low, high = estimate["ci95"]
    return f"{estimate['value']:.1%} [{low:.1%}, {high:.1%}]"


def table(pairs: dict[str, Any]) -> str:
    """Markdown: each accuracy before and after, and the paired difference."""
    lines = [f"held-out pairs: {pairs['n_pairs']}, left out: {pairs['left_out']}", ""]
    lines += ["| figure | after SFT, before DPO | after DPO | difference |", "|---|---|---|---|"]
    names = {"likelihood_accuracy": "likelihood accuracy", "likelihood_accuracy_normalised": "the same for each token"}
    lines += [
        f"| {name} | {share(pairs[key]['before'])} | {share(pairs[key]['after'])} | {share(pairs[key]['difference'])} |"
        for key, name in names.items()
    ]
    rewards, margin = pairs["reward_accuracy"], pairs["reward_margin"]["after"]
    before = f"{rewards['before']['n_ties']} ties (chance is 50%)"
    lines.append(
        f"| reward accuracy | {before} | {share(rewards['after'])} | {share(rewards['difference_from_chance'])} |"
    )
    low, high = margin["ci95"]
    lines.append(f"| reward margin | 0 | {margin['value']:.2f} [{low:.2f}, {high:.2f}] | |")
    return "\n".join(lines)


def main() -> None:
    split = sys.argv[1] if len(sys.argv) > 1 else "test"
    shared = Path(os.environ.get("BASE2INSTRUCT_SHARED_DATA", PROJECT.parent / "shared" / "data")).resolve()
    rows = shared / "llms-from-scratch" / "instruction-data-with-preference.json"
    base = shared / "models" / "hf-babyllama-tok361"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run("data_prep/build_instructions.py", "--source", rows, "--column_map", "output=chosen",
            "--output", folder / "instructions", *SPLIT)  # fmt: skip
        run("data_prep/build_preferences.py", "--source", rows, "--output", folder / "preferences", *SPLIT)
        sft = run("pipelines/sft.py", "--model_name_or_path", base, "--dataset_name", folder / "instructions",
                  "--output_dir", folder / "instruct", *SFT, *QUIET)  # fmt: skip
        dpo = run("pipelines/dpo.py", "--adapter_name_or_path", folder / "instruct", "--dataset_name",
                  folder / "preferences", "--dataset_test_split", split, "--output_dir", folder / "preferred",
                  *DPO, *QUIET)  # fmt: skip
        record = json.loads((folder / "preferred" / "run.json").read_text())
        ledger = json.loads((folder / "preferred" / "ledger.json").read_text())
    print(f"{split}: {ledger['kept']} training pairs, {ledger['dropped']} dropped {ledger['reasons']}")
    print(table(record["metrics"]["held_out_pairs"]))
    print(f"seconds: SFT {sft:.0f}, DPO {dpo:.0f} with its measurements, "
          f"{record['metrics']['train_runtime']:.0f} of them training")  # fmt: skip


if __name__ == "__main__":
    main()
