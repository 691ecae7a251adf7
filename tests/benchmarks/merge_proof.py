"""Merges of adapters that were trained, proven: how far each is from its base with the adapter unmerged.

    python tests/benchmarks/merge_proof.py /data/dolly_dev.jsonl /data/hf-babyllama-tok361 30

Trains each method for the given number of steps of 8 rows (answers of at most 60 characters: the base reads characters)
by sft.py's recipe of the quickstart, merges it by merge.py in float32 and bfloat16, and prints a Markdown table of what
merge.json says. A base without a chat template gets ChatML and two tokens with it: in BabyLlama the head is tied and
the embeddings have grown. QLoRA is compared with the full-precision base and its adapter, and in the last column with
the 4-bit base that it was trained on.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from data_prep import build_instructions
from pipelines import merge, sft

PROJECT = Path(__file__).resolve().parents[2]
METHODS = {
    "LoRA": "",
    "DoRA": "--use_dora true",
    "rsLoRA": "--use_rslora true --lora_alpha 8",
    "QLoRA": "--load_in_4bit true",
}


def train(base: Path, rows: Path, folder: Path, n_steps: str, keys: str) -> None:
    arguments = [
        "--config", PROJECT / "recipes/quickstart/sft/lora.yaml", "--model_name_or_path", base, "--dataset_name", rows,
        "--general_text", PROJECT / "README.md", "--max_length", "256", "--max_steps", n_steps, "--eval_strategy", "no",
        "--per_device_train_batch_size", "8", "--bf16", "false", "--lora_r", "16", "--lora_alpha", "32",
        "--n_samples", "0", "--doctor", "off", "--output_dir", folder, *keys.split(),
    ]  # fmt: skip
    sft.main([str(argument) for argument in arguments])


def row(method: str, record: dict[str, Any]) -> str:
    proof = record["proof"]
    quantized = proof["from_quantized_base"]
    return (
        f"| {method} | {record['dtype']} | {proof['kl_mean']:.1e} | {proof['kl_max']:.1e} | {proof['max_kl']:.1e} | "
        f"{proof['max_logit_difference']:.1e} | {proof['top1_agreement']:.2%} | {proof['n_texts_equal']} of "
        f"{proof['n_texts']} | {record['seconds']:.1f} | {record['peak_memory_bytes'] / 2**20:.0f} MiB | "
        f"{quantized['kl_mean'] if quantized else 0:.1e} |"
    ).replace("| 0.0e+00 |", "| |")


def main() -> None:
    source, base = (Path(argument).resolve() for argument in sys.argv[1:3])
    print("| method | dtype | KL mean | KL max | allowed | max logit difference | top-1 | equal texts | seconds | "
          "peak memory | KL from 4 bits |\n" + "|---" * 11 + "|", flush=True)  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_instructions.main([
            "--source", str(source), "--max_output_chars", "60", "--output", str(folder / "rows"),
            "--validation_size", "0.4", "--test_size", "0",
        ])  # fmt: skip
        for method, keys in METHODS.items():
            train(base, folder / "rows", folder / method, sys.argv[3], keys)
            for dtype in ("float32", "bfloat16"):
                output = folder / f"{method}-{dtype}"
                merge.main(["--adapter", str(folder / method), "--output", str(output), "--dtype", dtype,
                            "--max_new_tokens", "32"])  # fmt: skip
                print(row(method, json.loads((output / "merge.json").read_text())), flush=True)


if __name__ == "__main__":
    main()
