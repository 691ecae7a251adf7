"""A full disk or a lost process ends a run in one line, with its last checkpoint whole, and it continues as it was."""

import importlib
import multiprocessing
import os
import platform
import pydoc
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines import sft
from pipelines.command_line import run_program
from pipelines.errors import MachineFailure
from pipelines.records.checkpoint import checkpoint_fault, checkpoints_of
from pipelines.training import machine_failures
from pipelines.training.callbacks.throughput import CostCallback
from tests.run_files import logged, record_of, same_weights, write_jsonl
from tests.small_disk import no_larger_files, small_disk
from tests.training.sft_runs import KEYS

SAVES = f"{KEYS} --doctor off --max_steps 4 --save_strategy steps --save_steps 1 --row_losses false"
Train = Callable[..., Path]


@pytest.fixture(scope="module")
def train(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Train all weights in `folder`; at step `at` call `do`."""
    texts = ({"instruction": f"Say {n}.", "output": f"{n}"} for n in range(16))
    rows = write_jsonl(tmp_path_factory.mktemp("rows") / "rows.jsonl", texts)

    def run(folder: Path, more: str = "", at: int = 0, do: Callable[[], Any] = lambda: None) -> Path:
        def begin(_: Any, args: Any, state: Any, control: Any, **__: Any) -> None:  # noqa: ARG001
            if state.global_step + 1 == at:
                do()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CostCallback, "on_step_begin", begin, raising=False)
            named = f"--model_name_or_path {tiny_model_folder} --dataset_name {rows} --output_dir {folder}"
            sft.main(f"{named} {SAVES} {more}".split())
        return folder

    return run


@pytest.fixture(scope="module")
def straight(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("straight") / "run")


def is_the_same(one: Path, other: Path) -> bool:
    return same_weights(one, other, "model.safetensors") and logged(one, "loss") == logged(other, "loss")


@pytest.mark.parametrize("n_bytes", [40_000, 200_000], ids=["weights", "optimizer"])
def test_a_checkpoint_that_the_disk_refuses_leaves_the_one_before(train, straight, tmp_path, n_bytes):
    folder = tmp_path / "run"
    with ExitStack() as limits, pytest.raises(MachineFailure) as failure:
        train(folder, at=3, do=lambda: limits.enter_context(no_larger_files(n_bytes)))
    said = str(failure.value)
    assert f"cannot write {folder}/checkpoint-3: " in said
    assert ", and set save_total_limit: 1; continue from checkpoint-2 " in said
    assert [(one.name, checkpoint_fault(one)) for one in checkpoints_of(folder)] == [
        ("checkpoint-2", None),
        ("checkpoint-1", None),
    ]
    assert (record_of(folder)["status"], said.startswith(record_of(folder)["failure"])) == ("failed", True)
    assert is_the_same(train(folder, "--resume"), straight)


def test_a_run_on_a_full_disk_says_what_it_needs_and_continues_when_there_is_room(train, straight, tmp_path):
    with small_disk(1_200_000, tmp_path / "disk") as disk:
        folder = disk / "run"
        with pytest.raises(MachineFailure, match=r"checkpoint-3: .* \(it needs about 0.\d+ MB, 0.\d+ MB free\)"):
            train(folder)
        assert record_of(folder)["status"] == "failed"
        saved = checkpoints_of(folder)
        assert [checkpoint_fault(one) for one in saved] == [None] * len(saved)
        shutil.rmtree(folder / "checkpoint-1")
        assert is_the_same(train(folder, "--resume --save_total_limit 1"), straight)


def test_a_disk_without_room_for_the_reason_keeps_the_record_that_was_there(train, tmp_path):
    with small_disk(1_200_000, tmp_path / "disk") as disk:
        folder = disk / "run"

        def fill() -> None:
            with suppress(OSError), (disk / "other").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))

        with pytest.raises(MachineFailure, match="no space left on device"):
            train(folder, at=2, do=fill)
        assert record_of(folder)["status"] in ("started", "failed")
        assert [one.name for one in folder.iterdir() if one.name.startswith(".")] == []
        assert checkpoint_fault(folder / "checkpoint-1") is None


@pytest.mark.parametrize(
    ("writer", "n_bytes", "status"),
    [
        ("training.fine_tuning.save_trained", 40_000, "failed"),
        ("records.run_folder.Run.finish", 2_000, "started"),  # as it was: the reason does not fit
    ],
)
def test_a_final_model_or_record_that_the_disk_refuses_is_written_by_a_resumed_run(
    train, straight, tmp_path, writer, n_bytes, status
):
    folder, name = tmp_path / "run", f"pipelines.{writer}"
    with ExitStack() as limits, pytest.MonkeyPatch.context() as patch:
        write = pydoc.locate(name)

        def write_on_full_disk(*arguments: Any, **options: Any) -> None:
            limits.enter_context(no_larger_files(n_bytes))
            write(*arguments, **options)

        patch.setattr(name, write_on_full_disk)
        with pytest.raises(MachineFailure, match=r"file too large .*; continue from checkpoint-4 with .* --resume"):
            train(folder)
    assert record_of(folder)["status"] == status
    assert (folder / "config.json").exists() == (status == "started")  # the first file of a model
    assert [one.name for one in folder.iterdir() if one.name.startswith(".")] == []
    assert is_the_same(train(folder, "--resume"), straight)
    assert record_of(folder)["status"] == "finished"


@pytest.mark.parametrize("name", ["build_instructions", "train_tokenizer"])
def test_data_that_the_disk_refuses_is_one_line_and_leaves_nothing(tmp_path, capsys, name):
    rows = write_jsonl(tmp_path / "rows.jsonl", ({"instruction": f"Say {n}.", "output": "x" * n} for n in range(400)))
    source = f"--corpus {rows} --kind bpe --vocab_size 400" if name == "train_tokenizer" else f"--source {rows}"
    program = importlib.import_module(f"data_prep.{name}")
    with pytest.raises(SystemExit) as ended, no_larger_files(5_000):
        run_program(lambda _: program.main(f"{source} --output {tmp_path / 'out'}".split()))
    assert ended.value.code == 2
    assert "error: cannot write" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_worker_of_the_data_loader_that_is_killed_is_named(train, tmp_path):
    def kill() -> None:
        worker = multiprocessing.active_children()[0]
        os.kill(worker.pid or 0, signal.SIGKILL)
        worker.join()

    folder = tmp_path / "run"
    loader = "--dataloader_num_workers 1 --dataloader_prefetch_factor 1 --per_device_train_batch_size 1 --max_steps 9"
    with pytest.raises(
        MachineFailure, match=r"a worker of the data loader \(process \d+\) was ended( by SIGKILL)? in step \d; if "
    ):
        train(folder, loader, at=3, do=kill)
    assert checkpoint_fault(folder / "checkpoint-2") is None
    assert record_of(folder)["status"] == "failed"


@pytest.mark.parametrize(("lives", "expected"), [(True, RuntimeError), (False, MachineFailure)])
def test_an_error_of_gloo_is_a_lost_rank_only_if_one_has_ended(monkeypatch, lives, expected):
    other = subprocess.Popen(["sleep", "60" if lives else "0"])
    if not lives:
        other.wait()
    monkeypatch.setattr(machine_failures, "_SECONDS_TO_END", 0.2)
    ranks = [(platform.node(), process) for process in (os.getpid(), other.pid)]
    monkeypatch.setattr(machine_failures, "gather_object", lambda _: ranks)
    trainer: Any = SimpleNamespace(accelerator=SimpleNamespace(num_processes=2), state=SimpleNamespace(global_step=2))
    try:
        with pytest.raises(expected) as raised, machine_failures.lost_processes_explained(trainer):
            raise RuntimeError("[gloo/transport/tcp/pair.cc:446] op.preamble.length <= op.nbytes. 8 vs 4")  # two shapes
    finally:
        other.kill()
        other.wait()
    assert raised.type is expected
    assert lives or f"rank 1 (process {other.pid}) ended in step 3" in str(raised.value)


_KILLED_RANK = """
import os, signal
from pipelines import sft
from pipelines.command_line import run_program
from pipelines.training.callbacks.throughput import CostCallback

def begin(self, args, state, control, **_):
    if state.global_step == 2 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)

CostCallback.on_step_begin = begin
run_program(sft.main)
"""


@pytest.mark.slow
def test_a_rank_that_is_killed_ends_the_others_with_its_number(run_cli, tiny_model_folder, tmp_path):
    (tmp_path / "script.py").write_text(_KILLED_RANK)
    rows = write_jsonl(tmp_path / "rows.jsonl", ({"instruction": f"Say {n}.", "output": f"{n}"} for n in range(32)))
    named = f"--model_name_or_path {tiny_model_folder} --dataset_name {rows} --output_dir {tmp_path / 'run'}"
    done = run_cli(tmp_path / "script.py", *f"{named} {SAVES}".split(), n_processes=2, expect=-signal.SIGKILL)
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert re.match(
        r"error: rank 1 \(process \d+\) ended in step 3, and the other ranks cannot go on without it;", said
    )
    assert said.endswith("; continue from checkpoint-2 with the same command and --resume")
    assert checkpoint_fault(tmp_path / "run" / "checkpoint-2") is None
    assert record_of(tmp_path / "run")["status"] == "failed"
