"""Records as the programs write them, made up from functions of the standard library: what the tests render."""

import bisect
import fnmatch
import heapq
import inspect
import json
import math
import posixpath
import random
import shlex
import statistics
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FIND_MAX = "Write a Python function find_max(numbers) that returns the largest number."
_MODULES = (textwrap, shlex, fnmatch, bisect, heapq, statistics, posixpath, inspect, random)
_RAMBLE = "    if not isinstance({name}, str):\n        raise TypeError('no {name}')\n    self._{name} = {name}\n"
VERSIONS = {"python": "3.11.2", "torch": "2.13.0", "transformers": "5.23.0", "trl": "1.16.0", "peft": "0.21.0"}

DEFINITIONS = {
    "stopped_by_itself": (
        "stops by itself",
        "share",
        "higher",
        "share of answers that ended with the model's own end token",
    ),
    "n_tokens": ("answer length", "tokens", "neither", "mean length of an answer, end token excluded"),
    "repetition": (
        "repetition",
        "share",
        "lower",
        "share of an answer's runs of four words that occurred in it before",
    ),
    "parses": ("parses", "share", "higher", "share of answers that parse as Python as a whole"),
    "defines_requested_name": (
        "defines the requested name",
        "share",
        "higher",
        "share of answers that define the function",
    ),
    "takes_requested_parameters": (
        "takes the requested parameters",
        "share",
        "higher",
        "share with the asked-for parameters",
    ),
}
BITS = (
    "response bits per byte",
    "bits_per_byte",
    "lower",
    "bits that the model needs for a byte of the reference answer",
)


def figure(value: float, half_width: float, n: int = 148) -> dict[str, Any]:
    """A figure in the form of the records."""
    return {"value": value, "ci95": [value - half_width, value + half_width], "n": n}


def requested_rows(n_rows: int) -> list[dict[str, Any]]:
    """Rows that ask for real functions, with their source as the reference; repeated if there are too few."""
    found = list(_functions())
    return [dict(found[number % len(found)]) for number in range(n_rows)]


def responses(n_prompts: int = 148, n_samples: int = 2, seed: int = 0) -> list[dict[str, Any]]:
    """find_max as an extra prompt, then `n_prompts` held-out ones, with answers of a base and of an instruct model."""
    chance = random.Random(seed)
    reference = "def find_max(numbers):\n    return max(numbers)\n"
    extra = {
        "instruction": FIND_MAX, "reference": None, "category": "extra", "counted": False,
        "requested": {"name": "find_max", "parameters": ["numbers"]}, "code": reference,
    }  # fmt: skip
    lines = []
    for number, row in enumerate([extra, *requested_rows(n_prompts)]):
        code = row.pop("code")
        answers = {
            "base": [_base_answer(row, chance) for _ in range(1 + n_samples)],
            "instruct": [_instruct_answer(row, code, chance) for _ in range(1 + n_samples)],
        }
        bits = {"base": chance.gauss(1.21, 0.2), "instruct": chance.gauss(0.98, 0.2)}
        lines.append(
            {"id": number, "input": "", **row}
            | {"answers": {
                name: {"greedy": some[0], "samples": some[1:],
                       "response_bits_per_byte": bits[name] if row["reference"] else None}
                for name, some in answers.items()
            }}
        )  # fmt: skip
    return lines


def comparison(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """comparison.json of `lines`; the shares are theirs, the intervals a normal approximation."""
    counted = [line for line in lines if line["counted"]]
    metrics: dict[str, dict[str, Any]] = {"base": {}, "instruct": {}}
    differences, definitions = {}, {}
    for suffix, decoding in (("", "greedy"), ("_sampled", "sampled")):
        for name, (label, unit, better, meaning) in DEFINITIONS.items():
            values = {model: [_check(line, model, decoding, name) for line in counted] for model in metrics}
            for model, numbers in values.items():
                metrics[model][name + suffix] = _mean(numbers)
            differences[name + suffix] = _mean([a - b for a, b in zip(values["instruct"], values["base"], strict=True)])
            definitions[name + suffix] = {
                "label": label, "unit": unit, "better": better, "decoding": decoding, "meaning": meaning,
            }  # fmt: skip
        if not suffix:
            metrics["base"]["response_bits_per_byte"] = figure(1.2134, 0.031, len(counted))
            metrics["instruct"]["response_bits_per_byte"] = figure(0.9816, 0.028, len(counted))
            relative = {"value": -0.191, "ci95": [-0.21, -0.172], "n": len(counted)}
            differences["response_bits_per_byte"] = figure(-0.2318, 0.024, len(counted)) | {"relative": relative}
            words = dict(zip(("label", "unit", "better", "meaning"), BITS, strict=True))
            definitions["response_bits_per_byte"] = words | {"decoding": None}
    return {
        "kind": "comparison",
        "created": "2026-01-05T10:20:30+00:00",
        "versions": VERSIONS,
        "machine": {"system": "Linux", "processor": "Some CPU @ 2.20GHz", "n_cores": 2, "accelerators": []},
        "prompts": {"path": "data/functions", "split": "test", "sha256": "9f" * 32, "n": len(counted)},
        "decoding": {
            "max_new_tokens": 256, "seed": 0, "greedy": {"temperature": 0.0, "num_samples": 1},
            "sampled": {"temperature": 0.7, "top_p": 0.95, "num_samples": 2},
        },
        "models": {
            "base": {"role": "base", "path": "recipes/quickstart/base", "fingerprint": "ab" * 32,
                     "prompt_style": "plain", "metrics": metrics["base"]},
            "instruct": {"role": "instruct", "path": "runs/quickstart/sft", "fingerprint": "cd" * 32,
                         "prompt_style": "chat", "metrics": metrics["instruct"]},
        },
        "metric_definitions": definitions,
        "differences": {"instruct": differences},
        "base_prompt_styles": {"plain": figure(1.2134, 0.031), "chat": figure(1.4021, 0.04)},
        "seconds": {"base": 74.2, "instruct": 61.9},
    }  # fmt: skip


def perplexity() -> dict[str, Any]:
    """perplexity.json with both scopes and, for the answers, both prompt styles of the base."""
    rows = (
        ("base", "text", None, 5.021, 1.0523), ("instruct", "text", None, 5.113, 1.0641),
        ("base", "response", "plain", 5.871, 1.2134), ("base", "response", "chat", 7.732, 1.4021),
        ("instruct", "response", "chat", 4.187, 0.9816),
    )  # fmt: skip
    return {
        "kind": "perplexity",
        "dataset": {"path": "data/functions", "split": "test", "sha256": "9f" * 32, "n_documents": 148},
        "window": 512, "stride": 256, "seed": 0, "versions": {},
        "results": [
            {"model": model, "path": "x", "scope": scope, "prompt_style": style, "n_documents": 148, "n_tokens": 18342,
             "n_bytes": 61204, "nll_nats": bits * 61204 * math.log(2), "perplexity": ppl, "bits_per_byte": bits,
             "ci95": {"perplexity": [ppl * 0.95, ppl * 1.05], "bits_per_byte": [bits - 0.03, bits + 0.03]}}
            for model, scope, style, ppl, bits in rows
        ],
        "differences": [
            {"model": "instruct", "against": "base", "scope": scope, "prompt_style": style,
             "against_prompt_style": other, "bits_per_byte": figure(value, 0.024), "relative": figure(relative, 0.019)}
            for scope, style, other, value, relative in (
                ("response", "chat", "plain", -0.2318, -0.191), ("text", None, None, 0.0118, 0.0112),
            )
        ],
    }  # fmt: skip


def run() -> dict[str, Any]:
    """run.json of a finished fine-tuning."""
    recipe = {
        "model_name_or_path": "recipes/quickstart/base", "dataset_name": "data/functions", "num_train_epochs": 2,
        "learning_rate": 2e-3, "lr_scheduler_type": "cosine", "per_device_train_batch_size": 16, "max_length": 512,
        "use_peft": True, "lora_r": 32, "lora_alpha": 64, "lora_target_modules": "all-linear", "seed": 42,
        "gradient_checkpointing_kwargs": None, "report_to": ["none"], "output_dir": "runs/quickstart/sft",
    }  # fmt: skip
    return {
        "kind": "run", "program": "sft", "status": "finished", "recipe": recipe,
        "versions": VERSIONS,
        "machine": {"system": "Linux", "processor": "Some CPU @ 2.20GHz", "n_cores": 2, "accelerators": []},
        "git_commit": "1f2e3d4c5b6a", "seeds": {"seed": 42, "data_seed": 42},
        "base": {"path": "recipes/quickstart/base", "fingerprint": "ab" * 32},
        "dataset": {"path": "data/functions", "fingerprint": "ef" * 32}, "template_sha256": "12" * 32,
        "metrics": {"train_loss": 1.4213, "eval_loss": 1.3121}, "seconds_wall": 163.2, "n_tokens": 412345,
        "tokens_per_second": 2526.6, "peak_memory_bytes": 1_932_735_283,
    }  # fmt: skip


def trainer_state(n_steps: int = 174) -> dict[str, Any]:
    """transformers' trainer_state.json with a falling loss."""
    chance, history = random.Random(1), []
    for step in range(2, n_steps + 1, 2):
        loss = 1.2 + 2.2 * math.exp(-step / 30)
        history.append({"step": step, "loss": loss + chance.gauss(0, 0.05), "learning_rate": 1e-3, "epoch": step / 87})
        if step % 30 == 0 or step == n_steps:
            history.append({"step": step, "eval_loss": loss + 0.08, "eval_runtime": 2.0, "epoch": step / 87})
    return {"log_history": [*history, {"step": n_steps, "train_loss": 1.4213}], "global_step": n_steps}


def ledger() -> dict[str, Any]:
    """ledger.json of a training set."""
    return {
        "n_rows": 2784, "kept": 2701, "prompt_cut": 0, "answer_cut": 0, "end_token_lost": 0, "dropped": 83,
        "n_tokens": 412345, "n_tokens_lost": 60210, "rows": [{"row": 3, "status": "dropped"}],
    }  # fmt: skip


def write_records(folder: Path, lines: list[dict[str, Any]] | None = None) -> tuple[Path, Path]:
    """Write every record below `folder`; returns the comparison folder and the run folder."""
    compared, trained = folder / "compare", folder / "sft"
    compared.mkdir(parents=True)
    trained.mkdir()
    lines = responses() if lines is None else lines
    write_json(compared / "comparison.json", comparison(lines))
    write_lines(compared / "responses.jsonl", lines)
    write_json(compared / "perplexity.json", perplexity())
    write_json(trained / "run.json", run())
    write_json(trained / "trainer_state.json", trainer_state())
    write_json(trained / "ledger.json", ledger())
    return compared, trained


def write_json(path: Path, value: Any) -> None:
    """Plain JSON: the records' own writer is not what is tested here."""
    path.write_text(json.dumps(value))


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """JSON lines, ASCII-escaped, so that half a surrogate pair can be in them."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def answer(text: str, *, stopped: bool = True, **checks: Any) -> dict[str, Any]:
    """One answer as responses.jsonl has it."""
    n_tokens = len(text) // 4 + 1
    known = {"stopped_by_itself": stopped, "n_tokens": n_tokens, "repetition": 0.0} | dict.fromkeys(
        ("parses", "defines_requested_name", "takes_requested_parameters")
    )
    return {"text": text, "n_tokens": n_tokens, "stopped": stopped, "checks": known | checks}


def _functions() -> Iterator[dict[str, Any]]:
    for module in _MODULES:
        for name, function in vars(module).items():
            if not inspect.isfunction(function) or function.__code__.co_filename != module.__file__ or name[0] == "_":
                continue
            code, manual = inspect.getsource(function), inspect.getdoc(function)
            if manual and code.startswith("def ") and code.count("\n") <= 45:
                parameters = list(inspect.signature(function).parameters)
                task = " ".join(manual.split("\n\n")[0].split()).rstrip(".")
                yield {
                    "instruction": f"Write a Python function {name}({', '.join(parameters)}): {task}.",
                    "reference": code, "category": module.__name__, "counted": True, "code": code,
                    "requested": {"name": name, "parameters": parameters},
                }  # fmt: skip


def _base_answer(row: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    name = row["requested"]["name"]
    start = f' """{row["instruction"][:40]}\n\n    The *{name}* argument is the name of the module.\n    """\n'
    text = start + _RAMBLE.format(name=name) * chance.randint(4, 9)
    stopped = chance.random() < 0.02
    return answer(text, stopped=stopped, repetition=chance.uniform(0.4, 0.9), parses=chance.random() < 0.03,
                  defines_requested_name=chance.random() < 0.05, takes_requested_parameters=False)  # fmt: skip


def _instruct_answer(row: dict[str, Any], code: str, chance: random.Random) -> dict[str, Any]:
    if row["category"] == "extra":
        return answer(code, **dict.fromkeys(("parses", "defines_requested_name", "takes_requested_parameters"), True))
    defines, takes = chance.random() < 0.86, chance.random() < 0.8
    text = code if defines else code.replace(row["requested"]["name"], "main")
    return answer(text.rstrip(), stopped=chance.random() < 0.94, repetition=chance.uniform(0, 0.25),
                  parses=chance.random() < 0.82, defines_requested_name=defines,
                  takes_requested_parameters=defines and takes)  # fmt: skip


def _check(line: dict[str, Any], model: str, decoding: str, name: str) -> float:
    answers = line["answers"][model]
    some = [answers["greedy"]] if decoding == "greedy" else answers["samples"]
    return sum(float(one["checks"][name] or 0) for one in some) / len(some)


def _mean(values: list[float]) -> dict[str, Any]:
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    half_width = max(1.96 * deviation / math.sqrt(len(values)), 0.002)
    return figure(mean, half_width, len(values))
