"""Training steps in float32, bfloat16 autocast and all-bfloat16 on three processors, beside what sft.py would choose.

    python -m tests.benchmarks.devices.precision_choice --steps 50 --models quickstart,babyllama

Each processor is a process of its own: this one, kept to AVX-512 without bfloat16, kept to AVX2. In it the ways take
turns over the same rows in this project's SFT trainer, in one thread. For each way it prints the median processor time
of a step by token and the mean loss of the last ten steps, and the choice. A way whose step takes `--slow` seconds or
more has two steps. All-bfloat16 of trained weights (`full`) loses updates, so it is measured but never chosen.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.sft_throughput import MODELS, PROJECT

PROCESSORS = {
    "native": {},
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "ATEN_CPU_CAPABILITY": "avx512"},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}
WAYS = {"float32": ("float32", False), "autocast": ("float32", True), "all-bfloat16": ("bfloat16", True)}


@dataclass
class Run:
    """A trainer ready to step, and what its steps cost."""

    trainer: Any
    seconds: list[float]
    losses: list[float]


def trainer_of(name: str, method: str, way: str, rows: Any, folder: str) -> Any:
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig

    from pipelines.training.fine_tuning import ModelBundle, sft_trainer

    shape, source = MODELS[name]
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    dtype, autocast = WAYS[way]
    torch.manual_seed(0)
    if shape is None:
        model = AutoModelForCausalLM.from_pretrained(source, dtype=getattr(torch, dtype))
    else:
        model = AutoModelForCausalLM.from_config(shape(len(tokenizer)), dtype=torch.float32).to(getattr(torch, dtype))
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    training = SFTConfig(
        output_dir=folder, use_cpu=True, bf16=autocast, per_device_train_batch_size=len(rows) // 8, max_steps=1000,
        activation_checkpointing=False, learning_rate=1e-3 if method == "lora" else 3e-4, lr_scheduler_type="constant",
        report_to="none", disable_tqdm=True, save_strategy="no", logging_steps=1000, seed=0,
    )  # fmt: skip
    return sft_trainer(ModelBundle(model, tokenizer, lora if method == "lora" else None), training, rows, None)


def rows_of(name: str, n_rows: int, length: int) -> Any:
    """Python code of the standard library in rows of `length` tokens."""
    from datasets import Dataset
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODELS[name][1])
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("a*.py"))
    ids = tokenizer("\n".join(path.read_text() for path in files)[: n_rows * length * 8]).input_ids
    cut = [ids[at : at + length * (1 + number % 4) // 4] for number, at in enumerate(range(0, n_rows * length, length))]
    return Dataset.from_dict({"input_ids": cut, "labels": cut})


def choice(name: str, method: str, folder: str) -> str:
    """The way that a recipe without precision gets, for a base saved as ours and published ones are: in bfloat16."""
    from transformers import AutoConfig, AutoTokenizer

    from pipelines.recipe.precision import precision_of_training

    shape, source = MODELS[name]
    config = AutoConfig.from_pretrained(source) if shape is None else shape(len(AutoTokenizer.from_pretrained(source)))
    config.dtype = "bfloat16"
    config.save_pretrained(folder)
    keys, decided = precision_of_training(
        {"model_name_or_path": folder, "use_peft": method == "lora", "use_cpu": 1}, ()
    )
    return "all-bfloat16" if keys.get("dtype") == "bfloat16" else "autocast" if keys["bf16"] else decided.choice


def step(run: Run, batch: Any) -> None:
    began = time.process_time()
    loss = run.trainer.training_step(
        run.trainer.model, dict(batch), num_items_in_batch=(batch["labels"][:, 1:] != -100).sum()
    )
    run.trainer.optimizer.step()
    run.trainer.optimizer.zero_grad()
    run.losses.append(float(loss))
    run.seconds.append(time.process_time() - began)


def cell(name: str, method: str, chosen: argparse.Namespace, folder: str) -> dict[str, Any]:
    rows = rows_of(name, 8 * chosen.rows, chosen.length)
    runs = {way: Run(trainer_of(name, method, way, rows, folder), [], []) for way in WAYS}
    batches: dict[str, list[Any]] = {}
    for way, run in runs.items():
        run.trainer.create_optimizer()
        run.trainer.model = run.trainer.accelerator.prepare(run.trainer.model)  # autocast around its forward
        run.trainer.model.train()
        batches[way] = list(run.trainer.get_train_dataloader())
    for number in range(chosen.steps):
        for way, run in runs.items():
            if number < 2 or min(run.seconds) < chosen.slow:
                step(run, batches[way][number % len(batches[way])])
    n_tokens = chosen.rows * chosen.length * 5 / 8
    return {
        way: (statistics.median(run.seconds[1:]) / n_tokens * 1e6, statistics.mean(run.losses[-10:]), len(run.losses))
        for way, run in runs.items()
    }


def measure(chosen: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(1)
    for name, method in itertools.product(chosen.models.split(","), chosen.methods.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            best = choice(name, method, folder)
            cells = cell(name, method, chosen, folder)
        costs = " | ".join(f"{us:,.0f} µs, {loss:.4f} after {n}" for us, loss, n in cells.values())
        print(f"| {chosen.processor} | {name} {method} | {costs} | {best} |", flush=True)


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--models", default="babyllama,quickstart,llama-27m,smollm2-135m")
    flags.add_argument("--methods", default="lora,full")
    flags.add_argument("--processors", default=",".join(PROCESSORS))
    flags.add_argument("--steps", type=int, default=7)
    flags.add_argument("--rows", type=int, default=16, help="of a step")
    flags.add_argument("--length", type=int, default=256, help="of the longest row; the others are 1/4, 1/2 and 3/4")
    flags.add_argument("--slow", type=float, default=10.0)
    flags.add_argument("--processor", help=argparse.SUPPRESS)
    chosen = flags.parse_args()
    if chosen.processor:
        measure(chosen)
    else:
        print("| processor | model | " + " | ".join(WAYS) + " | chosen |\n|---|---|---|---|---|---|", flush=True)
        for each in chosen.processors.split(","):
            environment = {**os.environ, **PROCESSORS[each], "OMP_NUM_THREADS": "1"}
            subprocess.run([*sys.orig_argv, "--processor", each], cwd=PROJECT, env=environment, check=True)
