"""Real rows on a real base: LoRA with short Dolly answers, response bits per byte before and after.

    python tests/benchmarks/babyllama/dolly.py dolly_dev.jsonl hf-babyllama-tok361

Takes answers of at most 100 characters (the base is character-level with a context of 256), trains one epoch with the
quickstart's recipe, and measures base and instruct on the test split with perplexity.py. Prints the table and the wall
time of the training.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]


def run(*arguments: str | Path, quiet: bool = True) -> None:
    output = subprocess.DEVNULL if quiet else None
    subprocess.run([sys.executable, *map(str, arguments)], cwd=PROJECT, check=True, stdout=output)


def main() -> None:
    rows, base = (Path(argument).resolve() for argument in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run("data_prep/build_instructions.py", "--source", rows, "--max_output_chars", "100",
            "--output", folder / "instructions", quiet=False)  # fmt: skip
        run("pipelines/sft.py", "--config", "recipes/quickstart/sft/lora.yaml", "--model_name_or_path", base,
            "--dataset_name", folder / "instructions", "--max_length", "256", "--num_train_epochs", "1",
            "--output_dir", folder / "instruct")  # fmt: skip
        run("pipelines/perplexity.py", "--model_name_or_path", base, "--model_name_or_path", folder / "instruct",
            "--dataset", folder / "instructions", "--scope", "response", quiet=False)  # fmt: skip
        record = json.loads((folder / "instruct" / "run.json").read_text())
        ledger = json.loads((folder / "instruct" / "ledger.json").read_text())
    print(
        f"training: {record['metrics']['train_runtime']:.0f} s, {ledger['kept']} rows kept, {ledger['dropped']} dropped"
    )


if __name__ == "__main__":
    main()
