"""Shipped SFT recipes at their real shapes on this machine's device: speed, MFU and memory against the forecast.

    python -m tests.benchmarks.recipes_on_a_device qwen2.5-0.5b/sft/lora "qwen2.5-7b/sft/qlora max_length=4096"

Each recipe, with the keys behind its name in the place of its own, runs through sft.py in a process of its own, on
random weights of the real shape (no Hub needed) and on synthetic rows that fill its packed length. Prints one
Markdown table, last; what a time limit (`--minutes 8`) leaves out is said. Weights lie below the temporary folder, one
model at a time: neighbors in the list that share it share them.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from pipelines.modeling.step_memory.forecast import memory_forecast
from pipelines.modeling.step_memory.model_shape import model_shape
from pipelines.preflight.forecast.time import seconds_per_million_tokens
from tests.twins.forecast_tables import load_of, parsed
from tests.twins.models import family_of, real_config, save_twin_tokenizer

PROJECT = Path(__file__).resolve().parents[2]
DEFAULT = [
    "smollm2-135m/sft/full", "qwen2.5-0.5b/sft/lora", "qwen2.5-0.5b/sft/qlora", "qwen2.5-1.5b/sft/lora",
    "qwen2.5-7b/sft/lora", "qwen2.5-7b/sft/qlora", "llama-3.1-8b/sft/lora",
    "llama-3.1-8b/sft/lora max_length=4096 activation_checkpointing=false",
]  # fmt: skip
N_WORDS = 60  # an answer's; packing joins the rows to the recipe's length
N_STEPS = 4
GIB = 2**30


@dataclass(frozen=True)
class Case:
    """A recipe, and the keys that are set otherwise than it says."""

    name: str
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def recipe(self) -> Path:
        return PROJECT / "recipes" / f"{self.name}.yaml"

    @property
    def model(self) -> str:
        return self.recipe.parents[1].name

    @property
    def flags(self) -> list[str]:
        return [word for key, value in self.keys.items() for word in (f"--{key}", value)]


def context_of(text: str) -> Case:
    name, *keys = text.split()
    return Case(name, dict(key.split("=", 1) for key in keys))


def save_random_model(model: str, dtype: str, folder: Path) -> None:
    """Random weights of the real shape, with a small tokenizer of the family: its ids are among the model's."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        weights = AutoModelForCausalLM.from_config(real_config(model), dtype=getattr(torch, dtype))
    weights.save_pretrained(folder)
    save_twin_tokenizer(family_of(model), folder)
    del weights
    torch.cuda.empty_cache()  # the memory belongs to the run that follows


def write_rows(path: Path, n_rows: int) -> None:
    answer = " ".join(f"word{n}" for n in range(N_WORDS))
    rows = [{"messages": [{"role": "user", "content": f"Say {n}."}, {"role": "assistant", "content": answer}]}
            for n in range(n_rows)]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def measure(case: Case, model: Path, folder: Path) -> dict[str, Any]:
    """Medians over the steps of a run, the first left out: it warms up. `error` where the run fails."""
    write_rows(folder / "rows.jsonl", 4000)
    command = [sys.executable, "pipelines/sft.py", "--config", case.recipe, "--model_name_or_path", model,
               "--dataset_name", folder / "rows.jsonl", "--output_dir", folder / "run", "--eval_strategy", "no",
               "--save_strategy", "no", "--logging_steps", "1", "--max_steps", N_STEPS, "--report_to", "none",
               "--doctor", "off", *case.flags]  # fmt: skip
    done = subprocess.run(list(map(str, command)), cwd=PROJECT, capture_output=True, text=True)
    if done.returncode != 0:
        return {"error": done.stderr.strip().splitlines()[-1][:150]}
    logs = json.loads((folder / "run" / "trainer_state.json").read_text())["log_history"]
    steps = [log for log in logs if "tokens_per_second" in log][1:]
    medians = {key: statistics.median(log[key] for log in steps) for key in ("tokens_per_second", "peak_memory_gib")}
    return {**medians, "mfu": statistics.median(log.get("mfu", 0.0) for log in steps)}


def line_of(case: Case, found: dict[str, Any]) -> str:
    """A row of the table: measured, then predicted."""
    shape, load = model_shape(real_config(case.model)), load_of(case.recipe, case.flags)
    predicted = f"{memory_forecast(shape, load).allocated / GIB:.1f} GiB | "
    predicted += f"{1e6 / seconds_per_million_tokens(shape, load):,.0f}"
    name = ", ".join([case.name, *(f"{key} {value}" for key, value in case.keys.items())])
    if "error" in found:
        return f"| {name} | {found['error']} | | | {predicted} |"
    return (
        f"| {name} | {found['tokens_per_second']:,.0f} | {found['mfu']:.1%} | {found['peak_memory_gib']:.1f} GiB | "
        f"{predicted} |"
    )


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("cases", nargs="*", default=DEFAULT, help='recipes, as "MODEL/sft/VARIANT key=value ..."')
    flags.add_argument("--minutes", type=float, default=float("inf"), help="begin no case after so many minutes")
    chosen = flags.parse_args()
    started, model, table = time.monotonic(), None, []
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(map(context_of, chosen.cases)):
            if time.monotonic() - started > 60 * chosen.minutes:
                table.append(f"| {case.name} | not measured: out of time | | | |")
                continue
            weights = Path(folder, case.model)
            if case.model != model:
                shutil.rmtree(Path(folder, str(model)), ignore_errors=True)
                model_arguments = parsed(case.recipe).arguments[2]
                save_random_model(case.model, model_arguments.dtype or "float32", weights)
            model = case.model
            Path(folder, str(number)).mkdir()
            table.append(line_of(case, measure(case, weights, Path(folder, str(number)))))
            print(f"{time.monotonic() - started:.0f} s {table[-1]}", file=sys.stderr, flush=True)
    machine = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    head = ["| recipe | tokens/s | MFU | peak memory | predicted memory | predicted tokens/s at 30% MFU |",
            "|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    print("\n".join([f"Measured on: {machine}, torch {torch.__version__}", "", *head, *table]))


if __name__ == "__main__":
    main()
