"""Full, LoRA, DoRA and QLoRA side by side: loss on held-out rows, speed, memory, and the same seed twice.

    python tests/benchmarks/babyllama/methods.py dolly_dev.jsonl hf-babyllama-tok361

Takes 2,000 Dolly rows with answers of at most 100 characters (the base is character-level with a context of 256),
trains each method for one epoch in a process of its own, twice with the same seed, and prints a Markdown table. The
learning rates are those of the quickstart (2e-3 for adapters) and half of it for full fine-tuning; none was tuned here.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipelines.files import sha256_of_file

PROJECT = Path(__file__).resolve().parents[3]
ADAPTER = "--use_peft true --lora_r 16 --lora_alpha 32 --lora_dropout 0 --learning_rate 2e-3"
METHODS = {
    "full": "--use_peft false --learning_rate 1e-3",
    "LoRA r 16": ADAPTER,
    "rsLoRA r 16": f"{ADAPTER} --use_rslora true --lora_alpha 8",  # alpha / sqrt(16) is LoRA's 32 / 16
    "DoRA r 16": f"{ADAPTER} --use_dora true",
    "QLoRA r 16": f"{ADAPTER} --load_in_4bit true",
    "8-bit base, LoRA r 16": f"{ADAPTER} --load_in_8bit true",
}


def run(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, *map(str, arguments)], cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)


def train(base: Path, rows: Path, folder: Path, keys: str) -> dict[str, Any]:
    run("pipelines/sft.py", "--config", "recipes/quickstart/sft/lora.yaml", "--model_name_or_path", base,
        "--dataset_name", rows, "--max_length", "256", "--num_train_epochs", "1", "--eval_strategy", "epoch",
        "--report_to", "none", "--n_samples", "0", "--output_dir", folder, *keys.split())  # fmt: skip
    record = json.loads((folder / "run.json").read_text())
    [weights] = [*folder.glob("adapter_model.safetensors"), *folder.glob("model.safetensors")]
    return {**record, "weights": sha256_of_file(weights), "bytes": weights.stat().st_size}


def main() -> None:
    rows, base = (Path(argument).resolve() for argument in sys.argv[1:3])
    print("| method | held-out loss | tokens/s | peak memory | saved | same seed, same weights |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run("data_prep/build_instructions.py", "--source", rows, "--max_output_chars", "100", "--limit", "2000",
            "--output", folder / "instructions")  # fmt: skip
        for method, keys in METHODS.items():
            place = folder / method.replace(" ", "-")
            runs = [train(base, folder / "instructions", place / str(number), keys) for number in range(2)]
            speed = statistics.median(record["tokens_per_second"] for record in runs)
            same = "yes" if runs[0]["weights"] == runs[1]["weights"] else "NO"
            print(
                f"| {method} | {runs[0]['metrics']['eval_loss']:.3f} | {speed:,.0f} | "
                f"{runs[0]['peak_memory_bytes'] / 2**30:.2f} GiB | {runs[0]['bytes'] / 2**20:.2f} MiB | {same} |",
                flush=True,
            )
        ledger = json.loads((place / "0" / "ledger.json").read_text())
        print(f"{ledger['kept']} training rows kept, {ledger['dropped']} dropped: {ledger['reasons']}")


if __name__ == "__main__":
    main()
