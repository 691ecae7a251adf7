"""The chain on a CUDA device: what only shows there, against the same on the CPU. `pytest -m gpu` runs it."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import PROJECT

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]

BASE = PROJECT / "recipes" / "quickstart" / "base"
KEYS: dict[str, Any] = {
    "model_name_or_path": BASE, "use_peft": True, "lora_r": 8, "lora_dropout": 0.0, "max_length": 256,
    "max_steps": 20, "per_device_train_batch_size": 8, "per_device_eval_batch_size": 8, "learning_rate": 2e-3,
    "lr_scheduler_type": "constant", "logging_steps": 5, "eval_strategy": "steps", "eval_steps": 10,
    "save_strategy": "no", "bf16": True, "activation_checkpointing": False, "report_to": "none", "disable_tqdm": True,
    "test_split_size": 0.1, "dataset_test_split": "test", "doctor": "warn",
}  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Functions that differ by a number, short and long."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    bodies = [f"def plus_{n}(x):\n" + f"    x = x + {n}\n" * (1 + n % 9) + "    return x" for n in range(240)]
    rows = [{"instruction": f"Write a Python function plus_{n}(x)", "output": body} for n, body in enumerate(bodies)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(program: str, *words: Any) -> None:
    importlib.import_module(f"pipelines.{program}").main([str(word) for word in words])


def train(rows: Path, folder: Path, **keys: Any) -> dict[str, Any]:
    """run.json of a training on `rows` into `folder`."""
    all_keys = {**KEYS, "dataset_name": rows, "output_dir": folder, **keys}
    run("sft", *(word for key, value in all_keys.items() for word in (f"--{key}", value)))
    return json.loads((folder / "run.json").read_text())


def logs_of(folder: Path, key: str) -> list[dict[str, Any]]:
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [entry for entry in history if key in entry]


@pytest.fixture(scope="module")
def instruct(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "instruct"
    train(rows, folder)
    return folder


@pytest.mark.parametrize(
    "keys",
    [{}, {"packing": True, "dtype": "bfloat16"}, {"load_in_4bit": True}, {"load_in_8bit": True}, {"use_dora": True}],
    ids=["lora", "packed", "qlora", "8 bits", "dora"],
)
def test_every_method_learns_and_moves_all_its_modules(rows, tmp_path, keys):
    record = train(rows, tmp_path / "run", **keys)
    assert record["machine"]["accelerators"]
    assert record["peak_memory_bytes"] > 1 << 20
    losses = [entry["loss"] for entry in logs_of(tmp_path / "run", "loss")]
    assert losses[-1] < 0.5 * losses[0]
    logged = logs_of(tmp_path / "run", "tokens_per_second")[-1]
    assert logged["tokens_per_second"] > 0
    adapter = load_file(tmp_path / "run" / "adapter_model.safetensors")
    moved = [tensor for name, tensor in adapter.items() if "lora_B" in name]
    assert len(moved) == 42
    assert all(tensor.abs().max() > 0 for tensor in moved)
    assert {tensor.dtype for tensor in adapter.values()} == {torch.float32}


def test_packed_examples_have_the_loss_that_they_have_alone(rows, tmp_path):
    losses = []
    keys = {"per_device_eval_batch_size": 64, "max_steps": 1, "learning_rate": 1e-9}  # one batch: one mean over tokens
    for packing in (False, True):
        train(rows, tmp_path / str(packing), packing=packing, eval_packing=packing, **keys)
        losses.append(logs_of(tmp_path / str(packing), "eval_loss")[-1]["eval_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)  # bfloat16


def test_a_resumed_run_ends_where_an_unbroken_one_does(rows, tmp_path):
    saves = {"save_strategy": "steps", "save_steps": 5, "max_steps": 10}
    train(rows, tmp_path / "whole", **saves)
    broken = tmp_path / "broken"
    train(rows, broken, **saves)
    for file in ("run.json", "adapter_model.safetensors"):
        (broken / file).unlink()
    for path in (broken / "checkpoint-10").iterdir():
        path.unlink()
    (broken / "checkpoint-10").rmdir()
    (broken / "run.json").write_text(json.dumps({"kind": "run", "program": "sft", "status": "started"}))
    train(rows, broken, **saves, resume=True)
    ends = [load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "broken")]
    largest = max((ends[0][name] - ends[1][name]).abs().max().item() for name in ends[0])
    assert largest < 1e-4


def test_perplexity_is_that_of_the_cpu(instruct, rows, tmp_path, run_cli):
    words = ["--model_name_or_path", BASE, "--model_name_or_path", instruct, "--dataset", rows, "--scope", "response",
             "--dtype", "float32", "--output"]  # fmt: skip
    run("perplexity", *words, tmp_path / "device.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        run_cli("pipelines/perplexity.py", *words, tmp_path / "cpu.json")
    on_device, on_cpu = (
        [one["bits_per_byte"] for one in json.loads((tmp_path / f"{name}.json").read_text())["results"]]
        for name in ("device", "cpu")
    )
    assert len(on_device) >= 2
    assert on_device == pytest.approx(on_cpu, rel=1e-4)


def test_greedy_answers_are_those_of_the_cpu(instruct, tmp_path, run_cli):
    prompts = [word for n in range(250, 270) for word in ("--prompt", f"Write a Python function plus_{n}(x)")]
    words = ["--model_name_or_path", instruct, *prompts, "--dtype", "float32", "--max_new_tokens", "64", "--output"]
    run("generate", *words, tmp_path / "device.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        run_cli("pipelines/generate.py", *words, tmp_path / "cpu.jsonl")
    texts = [
        [json.loads(line)["answers"][0]["text"] for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in ("device", "cpu")
    ]
    same = sum(one == other for one, other in zip(*texts, strict=True))
    assert same >= 19, f"{same} of 20"  # float32 sums in another order: a tie between two tokens may fall otherwise
