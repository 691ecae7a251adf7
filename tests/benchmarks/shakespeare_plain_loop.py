"""Tiny Shakespeare, character-level: this project's pretrain.py beside a plain PyTorch loop of the same model.

    python tests/benchmarks/shakespeare_plain_loop.py input.txt

Both train the model of recipes/shakespeare-char for 2,000 steps of 12 blocks of 64 characters, on the same blocks and
with the same optimizer settings, one after the other. Prints validation loss (nats per character) and wall time of
each, and the ratio of the training times.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import yaml
from transformers import AutoModelForCausalLM, get_linear_schedule_with_warmup

from pipelines.modeling import load_tokenizer
from pipelines.recipe.arguments import PretrainingArguments
from pipelines.training.pretrain.blocks import Blocks, cut_into_blocks
from pipelines.training.pretrain.muon import muon_with_adamw
from pipelines.training.pretrain.pretraining_model import new_config

PROJECT = Path(__file__).resolve().parents[2]
RECIPE = PROJECT / "recipes" / "shakespeare-char" / "pretrain" / "from_scratch.yaml"


def run(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, *map(str, arguments)], cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)


def by_program(text: Path, folder: Path) -> tuple[float, float, float]:
    """Validation loss, training seconds and seconds of the whole program."""
    run("data_prep/train_tokenizer.py", "--corpus", text, "--kind", "char", "--output", folder / "tokenizer")
    start = time.perf_counter()
    run("pipelines/pretrain.py", "--config", RECIPE, "--dataset_name", text, "--eval_strategy", "no",
        "--tokenizer_name_or_path", folder / "tokenizer", "--output_dir", folder / "model")  # fmt: skip
    seconds = time.perf_counter() - start
    metrics = json.loads((folder / "model" / "run.json").read_text())["metrics"]
    return metrics["eval_loss"], metrics["train_runtime"], seconds


def validation_loss(model: torch.nn.Module, blocks: Blocks) -> float:
    """Mean nats per character over all held-out blocks."""
    total, n_targets = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(blocks), 64):
            ids = torch.from_numpy(blocks.tokens[start : start + 64].astype("int64"))
            n = len(ids) * (ids.shape[1] - 1)
            total += model(input_ids=ids, labels=ids).loss.item() * n
            n_targets += n
    return total / n_targets


def by_plain_loop(text: Path, folder: Path) -> tuple[float, float]:
    """Validation loss and training seconds of the loop that one would write by hand."""
    keys = yaml.safe_load(RECIPE.read_text())
    names = ("model_type", "model_config", "text_validation_share", "max_length", "muon_learning_rate")
    arguments = PretrainingArguments(dataset_name=str(text), **{name: keys[name] for name in names})
    tokenizer = load_tokenizer(str(folder / "tokenizer"))
    characters = text.read_text(encoding="utf-8")
    cut = round(len(characters) * (1 - arguments.text_validation_share))
    train, held_out = (cut_into_blocks([part], tokenizer, 64) for part in (characters[:cut], characters[cut:]))
    torch.manual_seed(keys["seed"])
    model = AutoModelForCausalLM.from_config(new_config(arguments, tokenizer))
    options = {"lr": keys["learning_rate"], "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": keys["weight_decay"]}
    optimizer = muon_with_adamw(model, muon_lr=keys["muon_learning_rate"], adamw_options=options)
    schedule = get_linear_schedule_with_warmup(optimizer, keys["warmup_steps"], keys["max_steps"])
    order = torch.cat([torch.randperm(len(train)) for _ in range(2)])
    start = time.perf_counter()
    for step in range(keys["max_steps"]):
        ids = torch.from_numpy(train.tokens[order[step * 12 : step * 12 + 12].numpy()].astype("int64"))
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    seconds = time.perf_counter() - start
    return validation_loss(model.eval(), held_out), seconds


def main() -> None:
    text = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        loss, seconds, whole = by_program(text, Path(name))
        plain_loss, plain_seconds = by_plain_loop(text, Path(name))
    print(f"pretrain.py:  validation loss {loss:.4f}, training {seconds:.1f} s, whole program {whole:.1f} s")
    print(f"plain loop:   validation loss {plain_loss:.4f}, training {plain_seconds:.1f} s")
    print(f"training time, pretrain.py / plain loop: {seconds / plain_seconds:.2f}")


if __name__ == "__main__":
    main()
