"""This project's SFT beside TRL on a GPU: real shapes with random weights, 4,096 tokens packed, the same keys for both.

    python -m tests.benchmarks.devices.gpu_sft --minutes 11
    python -m tests.benchmarks.devices.gpu_sft --toy

Needs this project's packages with a CUDA build of torch, bitsandbytes for QLoRA, and for `--attention
flash_attention_2` the package flash-attn. `--toy` runs tiny models of the same architectures on the CPU. TRL packs and
computes as it comes; this project forms micro-batches (`max_tokens_per_micro_batch: auto`). Prints a Markdown table:
tokens per second without padding (median of the steps after the second), MFU with 4N and with 6N FLOPs for a token,
where N are the weights of matrices and head, and the peak of allocated memory beside the doctor's forecast.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import ModelConfig, SFTConfig

from pipelines.modeling import ensure_chat_template
from pipelines.modeling.step_memory.forecast import GIB, memory_forecast
from pipelines.modeling.step_memory.model_shape import model_shape
from pipelines.modeling.step_memory.training_load import training_load
from pipelines.training.callbacks.flops import peak_flops
from tests.benchmarks.sft_throughput import OURS, PROJECT, flags
from tests.twins.models import family_of, real_config, save_twin, save_twin_tokenizer

# Run as `python -c`: it writes the time and the tokens of every step and the peak of allocated memory.
PROBE = """
import runpy, sys, time, torch
from pathlib import Path
from transformers import TrainerCallback
from trl import SFTTrainer
class Clock(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in (logs or {}):
            peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
            with open(out, "a") as file: print(time.perf_counter(), logs["num_tokens"], logs["loss"], peak, file=file)
out, program, begin = sys.argv[1], sys.argv[2], SFTTrainer.__init__
def init(self, *args, **kwargs):
    begin(self, *args, **kwargs)
    self.add_callback(Clock())
SFTTrainer.__init__ = init
sys.argv = sys.argv[2:]
runpy.run_path(program, run_name="__main__") if program.endswith(".py") else runpy.run_module(program, {}, "__main__")
"""
KEYS = {
    "use_peft": True, "lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "lora_target_modules": "all-linear",
    "packing": True, "learning_rate": 1e-4, "lr_scheduler_type": "constant", "logging_steps": 1, "eval_strategy": "no",
    "save_strategy": "no", "seed": 0, "report_to": "none", "disable_tqdm": True, "activation_checkpointing": False,
}  # fmt: skip
N_STEPS = 6


@dataclass(frozen=True)
class Case:
    """A model, the packed rows of a forward and of a step, and whether its base is in 4 bits."""

    model: str
    batch: int
    accumulated: int
    four_bits: bool = False

    @property
    def name(self) -> str:
        return f"{self.model} {'QLoRA' if self.four_bits else 'LoRA'}"

    def keys(self, *, toy: bool) -> dict[str, Any]:
        machine = {"use_cpu": True, "bf16": False, "dtype": "float32"} if toy else {"bf16": True, "dtype": "bfloat16"}
        batch = {
            "per_device_train_batch_size": 1 if toy else self.batch,
            "gradient_accumulation_steps": self.accumulated,
        }
        length = {"max_length": 1024 if toy else 4096, "max_steps": N_STEPS}
        return {**KEYS, **machine, **batch, **length, **({"load_in_4bit": True} if self.four_bits else {})}


CASES = [Case("qwen2.5-0.5b", 8, 1), Case("qwen2.5-1.5b", 4, 2), Case("llama-3.1-8b", 2, 4),
         Case("llama-3.1-8b", 2, 4, four_bits=True)]  # fmt: skip


def save_model(case: Case, folder: Path, *, toy: bool) -> None:
    """Random weights, and a small tokenizer of the family with a chat template, so that both read the rows alike."""
    if toy:
        save_twin(case.model, folder, Path("none"))
    else:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            weights = AutoModelForCausalLM.from_config(real_config(case.model), dtype=torch.bfloat16)
        weights.save_pretrained(folder)
        save_twin_tokenizer(family_of(case.model), folder)
        del weights
        torch.cuda.empty_cache()  # the memory belongs to the run that follows
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ensure_chat_template(tokenizer)
    tokenizer.save_pretrained(folder)


def write_rows(path: Path, n_rows: int) -> None:
    """Conversations with answers of 60 words, which packing joins to the length."""
    answer = " ".join(f"word{n}" for n in range(60))
    rows = [{"messages": [{"role": "user", "content": f"Say {n}."}, {"role": "assistant", "content": answer}]}
            for n in range(n_rows)]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def measure(program: str, keys: dict[str, Any], rows: Path, folder: Path) -> tuple[float, float, int] | str:
    """Tokens per second, the last loss and the peak in bytes; or the error."""
    command = [sys.executable, "-c", PROBE, folder / "clock", program, *flags(keys), "--dataset_name", rows]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    folder.mkdir()
    done = subprocess.run([*map(str, command), "--output_dir", str(folder / "run")], cwd=PROJECT, env=environment,
                          capture_output=True, text=True)  # fmt: skip
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or ["no message"])[-1][:150]
    steps = [tuple(map(float, line.split())) for line in (folder / "clock").read_text().splitlines()]
    speeds = [(now[1] - before[1]) / (now[0] - before[0]) for before, now in pairwise(steps[1:])]
    return statistics.median(speeds), steps[-1][2], int(steps[-1][3])


def line_of(case: Case, who: str, keys: dict[str, Any], found: tuple[float, float, int] | str) -> str:
    if isinstance(found, str):
        return f"| {case.name} | {who} | {found} | | | | | |"
    shape = model_shape(real_config(case.model))
    options = {name: keys[name] for name in ("dtype", "use_peft", "lora_r", "lora_dropout")}
    model = ModelConfig(**options, lora_target_modules=["all-linear"], load_in_4bit=case.four_bits)
    training = SFTConfig("none", per_device_train_batch_size=case.batch, bf16=False, use_cpu=True, packing=True,
                         activation_checkpointing=False)  # fmt: skip
    load = training_load(model, training, keys["max_length"])
    if who != "TRL":
        load = replace(load, packed=False)  # its rows are taken apart
    speed, loss, peak = found
    n_applied = shape.n_matrix_parameters + shape.n_head_parameters
    limit = peak_flops(torch.cuda.get_device_name()) if torch.cuda.is_available() else None
    mfu = [f"{flops * n_applied * speed / limit:.1%}" if limit else "" for flops in (4, 6)]
    memory = f"{peak / GIB:.1f} GiB | {memory_forecast(shape, load).allocated / GIB:.1f} GiB"
    return f"| {case.name} | {who} | {speed:,.0f} | {' | '.join(mfu)} | {loss:.4f} | {memory} |"


def lines(cases: list[Case], minutes: float, attention: str | None, *, toy: bool) -> Iterator[str]:
    yield "| model | trainer | tokens/s | MFU, 4N | MFU, 6N | last loss | peak memory | forecast |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows").mkdir()
        write_rows(folder / "rows" / "train.jsonl", 100 if toy else 20_000)
        for number, case in enumerate(cases):
            weights = folder / case.model
            if not weights.exists():
                for each in cases:  # one model at a time on the disk
                    shutil.rmtree(folder / each.model, ignore_errors=True)
                save_model(case, weights, toy=toy)
            keys = {**case.keys(toy=toy), **({"attn_implementation": attention} if attention else {})}
            ways = {"this project": ("pipelines/sft.py", OURS), "TRL": ("trl.scripts.sft", {})}
            for who, (program, own) in ways.items():
                if time.monotonic() - began > 60 * minutes:
                    yield f"| {case.name} | {who} | not measured: out of time | | | | | |"
                    continue
                rows = folder / "rows" / "train.jsonl" if own else folder / "rows"
                both = {"model_name_or_path": weights, **keys, **own}
                yield line_of(case, who, keys, measure(program, both, rows, folder / f"{who}-{number}"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--toy", action="store_true", help="tiny models on the CPU")
    options.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so many minutes")
    options.add_argument("--attention", help="attn_implementation of both")
    options.add_argument("--cases", type=int, nargs="+", default=range(len(CASES)), help="numbers of the cases, from 0")
    chosen = options.parse_args()
    cases = [CASES[number] for number in chosen.cases]
    for line in lines(cases, chosen.minutes, chosen.attention, toy=chosen.toy):
        print(line, flush=True)


if __name__ == "__main__":
    main()
