"""This project's SFT beside `trl sft`: the same rows, model, keys and machine, in processes that take turns.

    python -m tests.benchmarks.sft_throughput --model quickstart --rows quickstart --rounds 3
    python -m tests.benchmarks.sft_throughput --model qwen-vocabulary --rows dolly --avx2 --against CHECKOUT

A process is stopped whenever it prints a step, and the other one takes its next step: what else the machine does
affects both alike. The speed is that of the steady state: the non-padding tokens after the second step over the CPU
seconds and wall seconds that the process took for them; start, tokenizing and saving do not count. sft.py reads the
conversations; the script behind `trl sft` reads the same rows as sft.py tokenized and labeled them. Equal counts of
tokens and equal losses at every step show that the steps have the same rows; dropout is off. Prints a Markdown table.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

PROJECT = Path(__file__).resolve().parents[2]
DATA = PROJECT.parent / "shared" / "data"
BASE = PROJECT / "recipes" / "quickstart" / "base"
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
KEYS = {
    "dtype": "float32", "bf16": False, "use_peft": True, "lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.0,
    "lora_target_modules": "all-linear", "per_device_train_batch_size": 16, "learning_rate": 1e-3,
    "lr_scheduler_type": "constant", "activation_checkpointing": False, "logging_steps": 1, "save_only_model": True,
    "eval_strategy": "no", "seed": 0, "report_to": "none", "disable_tqdm": True,
}  # fmt: skip
OURS = {"doctor": "off", "row_losses": False, "n_samples": 0}
N_WARM_UP = 2  # steps
STEP = re.compile(r"step \d+/\d+ |\{'loss'")  # how sft.py and transformers begin the line of a step
HEAD = (
    "| keys | way | tokens per CPU second | tokens per second | losses | largest difference | same rows | MiB |\n"
    "|---|---|---:|---:|---|---:|---|---:|"
)
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "group_by_length": {"train_sampling_strategy": "group_by_length"},
    "packing": {"packing": True},
}


@dataclass(frozen=True)
class Measured:
    """One run: the CPU and wall seconds of every step, and what the trainer logged for it."""

    cpu_seconds: list[float]
    wall_seconds: list[float]
    logs: list[dict[str, float]]
    peak_mib: float

    @property
    def tokens(self) -> list[float]:
        """Non-padding tokens, from the first step to each."""
        return [log["num_tokens"] for log in self.logs]

    @property
    def losses(self) -> list[float]:
        return [log["loss"] for log in self.logs]

    def speed(self, seconds: str) -> float:
        """Tokens per second of the steady state."""
        return (self.tokens[-1] - self.tokens[N_WARM_UP - 1]) / sum(getattr(self, seconds)[N_WARM_UP:])


def llama(**shape: Any) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(tie_word_embeddings=True, max_position_embeddings=4096, **shape)


def small_shape(vocab_size: int) -> Any:
    return llama(vocab_size=vocab_size, hidden_size=256, intermediate_size=688, num_hidden_layers=6,
                 num_attention_heads=4)  # fmt: skip


def shape_27m(vocab_size: int) -> Any:
    return llama(vocab_size=vocab_size, hidden_size=512, intermediate_size=1376, num_hidden_layers=8,
                 num_attention_heads=8)  # fmt: skip


def smollm2_shape(_vocab_size: int) -> Any:
    from tests.twins.models import real_config

    return real_config("smollm2-135m")


# A model is a folder, or a shape for random weights with the folder of its tokenizer.
MODELS: dict[str, tuple[Any, Path]] = {
    "quickstart": (None, BASE),
    "babyllama": (None, DATA / "models" / "hf-babyllama-tok361"),
    "llama-6m": (small_shape, BASE),  # the quickstart's, with room for 4,096 tokens
    "llama-27m": (shape_27m, BASE),
    "smollm2-135m": (smollm2_shape, BASE),
    "qwen-vocabulary": (small_shape, DATA / "tokenizers" / "qwen2.5"),
}


def save_model(name: str, folder: Path) -> None:
    """The model, with the chat template in its tokenizer: both trainers then have the same tokens and weights."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from pipelines.modeling import ensure_chat_template

    shape, source = MODELS[name]
    tokenizer = AutoTokenizer.from_pretrained(source)
    ensure_chat_template(tokenizer)
    torch.manual_seed(0)
    if shape is None:
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    else:
        model = AutoModelForCausalLM.from_config(shape(len(tokenizer)), dtype=torch.float32)
    if len(tokenizer) > model.config.vocab_size:
        model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def rows_of(name: str) -> list[dict[str, Any]]:
    """Conversations: the quickstart's rows, Dolly's, or chats of two to six of Dolly's rows."""
    from datasets import Dataset

    if name == "quickstart":
        with tempfile.TemporaryDirectory() as folder:
            run([sys.executable, "data_prep/build_instructions.py", "--source", sysconfig.get_path("stdlib"),
                 "--max_output_chars", "300", "--output", f"{folder}/rows"])  # fmt: skip
            train = Dataset.from_parquet(f"{folder}/rows/data/train-*.parquet")
        return [conversation([row]) for row in train.to_list()]
    rows = [json.loads(line) for line in (DATA / "splits" / "dolly_dev.jsonl").read_text().splitlines()]
    if name == "dolly":
        return [conversation([row]) for row in rows]
    chosen = random.Random(0)
    return [conversation(chosen.sample(rows, chosen.randint(2, 6))) for _ in range(4000)]


def conversation(rows: list[dict[str, Any]]) -> dict[str, Any]:
    pairs = [("\n\n".join(filter(None, [row["instruction"], row.get("input")])), row["output"]) for row in rows]
    return {"messages": [{"role": role, "content": text} for pair in pairs
                         for role, text in zip(("user", "assistant"), pair, strict=True)]}  # fmt: skip


def run(command: list[str], **options: Any) -> None:
    subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL, **options)


def flags(keys: dict[str, Any]) -> list[str]:
    return [word for key, value in keys.items() for word in (f"--{key}", str(value))]


def write_tokens(model: Path, rows: Path, keys: dict[str, Any], folder: Path) -> None:
    """The rows as sft.py tokenizes and labels them, for TRL."""
    from pipelines.recipe import ARGUMENTS, REQUIRED, Stage, parse_recipe
    from pipelines.training.inputs import sft_inputs

    arguments = flags({"model_name_or_path": model, "dataset_name": rows, "output_dir": folder / "none", **keys})
    inputs = sft_inputs(parse_recipe(ARGUMENTS[Stage.SFT], arguments, [], REQUIRED[Stage.SFT]))
    train, ledger, _ = inputs.rows.tokenize(inputs.load_tokenizer()[0])
    train.select_columns(["input_ids", "labels"]).to_parquet(folder / "train.parquet")
    lengths = sorted(map(len, train["input_ids"]))
    print(f"{ledger.summary()}; tokens: median {lengths[len(lengths) // 2]}, longest {lengths[-1]}", file=sys.stderr)


class Program:
    """A program that is stopped after each of its steps, so that several can take their steps in turns."""

    def __init__(self, command: list[str], checkout: Path, environment: dict[str, str], output: Path) -> None:
        self.command, self.output = [*command, "--output_dir", str(output)], output
        self.said: list[str] = []
        self.cpu_seconds: list[float] = []
        self.wall_seconds: list[float] = []
        self.process = psutil.Popen(
            self.command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**environment, "PYTHONPATH": str(checkout), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self.process.suspend()

    def step(self) -> bool:
        """Run until the next step is printed, and stop there; False if there was none."""
        self.process.resume()
        begun = time.perf_counter()
        for line in self.process.stdout:
            self.said.append(line)
            if STEP.match(line):
                self.wall_seconds.append(time.perf_counter() - begun)
                self.process.suspend()
                used = self.process.cpu_times()
                self.cpu_seconds.append(used.user + used.system - sum(self.cpu_seconds))
                return True
        return False

    def measured(self) -> Measured:
        """What was measured, after the last step."""
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode != 0:
            raise SystemExit(f"{' '.join(self.command)}\n{''.join(self.said)[-3000:]}")
        [state] = self.output.glob("checkpoint-*/trainer_state.json")
        logs = [log for log in json.loads(state.read_text())["log_history"] if "loss" in log]
        return Measured(self.cpu_seconds, self.wall_seconds, logs, usage.ru_maxrss / 1024)


def run_in_turns(programs: Sequence[Program]) -> list[Measured]:
    """The first steps, which warm up, one program after the other; then a step of each in turn."""
    try:
        while sum(program.step() for program in programs):
            pass
        return [program.measured() for program in programs]
    finally:
        for program in programs:
            if program.process.returncode is None:
                program.process.kill()


def environment_of(threads: int, *, avx2: bool) -> dict[str, str]:
    own = {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **own, **(AVX2 if avx2 else {})}


def write_rows(rows: list[dict[str, Any]], path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", choices=MODELS, default="quickstart")
    options.add_argument("--rows", choices=["quickstart", "dolly", "chats"], default="quickstart")
    options.add_argument("--variant", choices=VARIANTS, nargs="+", default=["default"])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--steps", type=int, default=15)
    options.add_argument("--max_length", type=int, default=512)
    options.add_argument("--limit", type=int, default=4000, help="rows at most")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--avx2", action="store_true", help="restrict the processor to AVX2")
    options.add_argument("--bf16", action="store_true", help="bfloat16 autocast in place of float32")
    options.add_argument("--against", type=Path, help="another checkout of this project, run too")
    chosen = options.parse_args()
    environment = environment_of(chosen.threads, avx2=chosen.avx2)
    use_cpu = {"use_cpu": True} if chosen.bf16 else {}  # or transformers refuses bf16; a GPU: devices/gpu_sft.py
    keys = {**KEYS, "max_length": chosen.max_length, "bf16": chosen.bf16, **use_cpu}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tokens").mkdir()
        save_model(chosen.model, folder / "model")
        write_rows(rows_of(chosen.rows)[: chosen.limit], folder / "rows.jsonl")
        write_tokens(folder / "model", folder / "rows.jsonl", keys, folder / "tokens")
        print(HEAD, flush=True)
        for variant in chosen.variant:
            print(*compare(folder, {**keys, **VARIANTS[variant]}, chosen, environment, variant), sep="\n", flush=True)


def compare(
    folder: Path, keys: dict[str, Any], chosen: argparse.Namespace, environment: dict[str, str], variant: str
) -> list[str]:
    shared = flags({"model_name_or_path": folder / "model", **keys})
    ours = ["pipelines/sft.py", *shared, *flags({"dataset_name": folder / "rows.jsonl", **OURS})]
    trl = ["-m", "trl.scripts.sft", *shared, "--dataset_name", str(folder / "tokens")]
    ways = {"this project": (ours, PROJECT), "trl sft": (trl, folder)}
    if chosen.against:
        ways["earlier"] = (ours, chosen.against.resolve())
    found: dict[str, list[Measured]] = {way: [] for way in ways}
    for number in range(chosen.rounds):
        programs = [Program([sys.executable, *command, "--max_steps", str(chosen.steps)], checkout, environment,
                            folder / f"{variant}-{place}-{number}")
                    for place, (command, checkout) in enumerate(ways.values())]  # fmt: skip
        for way, measured in zip(ways, run_in_turns(programs), strict=True):
            found[way].append(measured)
            print(f"{variant} {number} {way}: {measured.speed('cpu_seconds'):,.0f}", file=sys.stderr, flush=True)
    return [line_of(variant, way, found) for way in ways]


def line_of(variant: str, way: str, found: dict[str, list[Measured]]) -> str:
    """A row of the table; ratios and differences are to `trl sft`, ratios the medians of the rounds'."""
    reference, longest = found["trl sft"][0], found[way][0]
    words = [variant, way]
    for seconds in ("cpu_seconds", "wall_seconds"):
        own, of_trl = ([run.speed(seconds) for run in found[name]] for name in (way, "trl sft"))
        ratios = sorted(a / b for a, b in zip(own, of_trl, strict=True))
        words.append(f"{statistics.median(own):,.0f} ({statistics.median(ratios):.2f}x)")
    difference = max(abs(a - b) for a, b in zip(longest.losses, reference.losses, strict=True))
    words += [f"{longest.losses[0]:.4f} to {longest.losses[-1]:.4f}", f"{difference:.1e}"]
    same_rows = "yes" if longest.tokens == reference.tokens else "NO"
    words += [same_rows, f"{max(run.peak_mib for run in found[way]):,.0f}"]
    return f"| {' | '.join(words)} |"


if __name__ == "__main__":
    main()
