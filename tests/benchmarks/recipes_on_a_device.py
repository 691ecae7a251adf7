"""Shipped SFT recipes at their real shapes on this machine's device: speed, MFU and memory against the forecast.

    python -m tests.benchmarks.recipes_on_a_device qwen2.5-0.5b/sft/lora qwen2.5-7b/sft/qlora --max_steps 8

Each recipe runs through sft.py in a process of its own, on random weights of the real model's shape (no Hub needed) and
on synthetic rows that fill its packed length. Flags after the recipes go to sft.py. Prints one Markdown table, last.
The weights are written below the temporary folder, one model at a time.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from pipelines.diagnosis import memory_forecast, model_shape, seconds_per_million_tokens
from tests.twins.forecast_tables import load_of, parsed
from tests.twins.models import family_of, real_config, save_twin_tokenizer

PROJECT = Path(__file__).resolve().parents[2]
DEFAULT = (
    "smollm2-135m/sft/full qwen2.5-0.5b/sft/full qwen2.5-0.5b/sft/lora qwen2.5-0.5b/sft/qlora qwen2.5-1.5b/sft/lora "
    "qwen2.5-7b/sft/lora qwen2.5-7b/sft/qlora llama-3.1-8b/sft/lora llama-3.1-8b/sft/qlora"
)
N_WORDS = 60  # an answer's; packing joins the rows to the recipe's length


def save_random_model(model: str, dtype: str, folder: Path) -> None:
    """Random weights of the real shape, with a small tokenizer of the family: its ids are among the model's."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        weights = AutoModelForCausalLM.from_config(real_config(model), dtype=getattr(torch, dtype))
    weights.save_pretrained(folder)
    save_twin_tokenizer(family_of(model), folder)


def write_rows(path: Path, n_rows: int) -> None:
    answer = " ".join(f"word{n}" for n in range(N_WORDS))
    rows = [{"messages": [{"role": "user", "content": f"Say {n}."}, {"role": "assistant", "content": answer}]}
            for n in range(n_rows)]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def measure(name: str, flags: list[str], folder: Path) -> dict[str, Any]:
    recipe = PROJECT / "recipes" / f"{name}.yaml"
    model_arguments = parsed(recipe).arguments[2]
    save_random_model(recipe.parents[1].name, model_arguments.dtype or "float32", folder / "model")
    write_rows(folder / "rows.jsonl", 2000)
    command = [sys.executable, "pipelines/sft.py", "--config", recipe, "--model_name_or_path", folder / "model",
               "--dataset_name", folder / "rows.jsonl", "--output_dir", folder / "run", "--eval_strategy", "no",
               "--save_strategy", "no", "--logging_steps", "1", "--max_steps", "8", "--report_to", "none",
               *flags]  # fmt: skip
    done = subprocess.run(list(map(str, command)), cwd=PROJECT, capture_output=True, text=True)
    if done.returncode != 0:
        return {"error": done.stderr.strip().splitlines()[-1][:150]}
    logs = json.loads((folder / "run" / "trainer_state.json").read_text())["log_history"]
    steps = [log for log in logs if "tokens_per_second" in log][1:]  # the first step warms up
    medians = {key: statistics.median(log[key] for log in steps) for key in ("tokens_per_second", "peak_memory_gib")}
    return {**medians, "mfu": statistics.median(log.get("mfu", 0.0) for log in steps)}


def main() -> None:
    words = sys.argv[1:]
    first_flag = next((place for place, word in enumerate(words) if word.startswith("--")), len(words))
    names, flags = words[:first_flag] or DEFAULT.split(), words[first_flag:]
    lines = ["| recipe | tokens/s | MFU | peak memory | predicted memory | predicted tokens/s at 30% MFU |",
             "|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(name, flags, Path(folder))
        recipe = PROJECT / "recipes" / f"{name}.yaml"
        shape, load = model_shape(real_config(recipe.parents[1].name)), load_of(recipe)
        predicted = f"{memory_forecast(shape, load).total / 2**30:.1f} GiB | "
        predicted += f"{1e6 / seconds_per_million_tokens(shape, load):,.0f}"
        if "error" in found:
            lines.append(f"| {name} | {found['error']} | | | {predicted} |")
        else:
            lines.append(
                f"| {name} | {found['tokens_per_second']:,.0f} | {found['mfu']:.1%} | "
                f"{found['peak_memory_gib']:.1f} GiB | {predicted} |"
            )
        print(lines[-1], file=sys.stderr, flush=True)
    machine = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print("\n".join([f"Measured on: {machine}", "", *lines]))


if __name__ == "__main__":
    main()
