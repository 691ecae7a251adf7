"""An interrupted run goes on as the run that it was, or says why it cannot."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipelines import dpo, pretrain, sft
from pipelines.errors import UserError

FUNCTIONS = [f"def add_{n}(x):\n    return x + {n}" for n in range(24)]
COMMON = (
    "--bf16 false --dtype float32 --report_to none --disable_tqdm true --eval_strategy no --n_samples 0 --max_steps 6 "
    "--save_strategy steps --save_steps 2 --logging_steps 1 --per_device_train_batch_size 2 --learning_rate 1e-2 "
    "--doctor off --activation_checkpointing false --use_peft --lora_r 4 --lora_dropout 0"
)
PROGRAMS: dict[str, Any] = {"sft": sft, "dpo": dpo, "pretrain": pretrain}
MORE = {"sft": "--max_length 128", "dpo": "--max_length 128", "pretrain": "--max_length 16"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("rows")
    sets = {
        "sft": [{"instruction": f"add {n}", "output": text} for n, text in enumerate(FUNCTIONS)],
        "dpo": [{"prompt": f"add {n}", "chosen": text, "rejected": "no"} for n, text in enumerate(FUNCTIONS)],
        "pretrain": [{"text": text} for text in FUNCTIONS],
    }
    for name, lines in sets.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {name: folder / f"{name}.jsonl" for name in sets}


@pytest.fixture(scope="module")
def finished(tiny_model_folder: Path, rows: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of each program, with checkpoints of steps 2, 4 and 6."""
    folder = tmp_path_factory.mktemp("runs")
    for program in PROGRAMS:
        run(program, tiny_model_folder, rows, folder / program)
    return folder


def run(program: str, base: Path, rows: dict[str, Path], folder: Path, more: str = "") -> dict[str, Any]:
    """run.json after the program has run."""
    named = f"--model_name_or_path {base} --dataset_name {rows[program]} --output_dir {folder}"
    common = COMMON.replace("--activation_checkpointing false ", "") if program == "pretrain" else COMMON
    PROGRAMS[program].main(f"{named} {common} {MORE[program]} {more}".split())
    return record_of(folder)


def record_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text()))


def interrupted(finished: Path, folder: Path, step: int = 4) -> Path:
    """A copy of a run as a power cut after its checkpoint of `step` leaves it."""
    shutil.copytree(finished, folder)
    for path in folder.glob("checkpoint-*"):
        if int(path.name.rpartition("-")[2]) > step:
            shutil.rmtree(path)
    for name in ("adapter_model.safetensors", "trainer_state.json", "ledger.json"):
        (folder / name).unlink(missing_ok=True)
    noted = {
        str(n): {"n_tokens": 1000 * n, "seconds_train": 50.0 * n, "total_loss": 3.0 * n} for n in range(2, step + 1, 2)
    }
    told = {"status": "started", "checkpoints": noted, "seconds_wall": 500.0}
    (folder / "run.json").write_text(json.dumps({**record_of(folder), **told}))
    return folder


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_resumed_run_gives_the_same_model_and_counts_all_of_its_legs(
    program: str, finished: Path, tiny_model_folder: Path, rows: dict[str, Path], tmp_path: Path
) -> None:
    folder = interrupted(finished / program, tmp_path / "run")
    record = run(program, tiny_model_folder, rows, folder, "--resume")
    straight, resumed = (load_file(path / "adapter_model.safetensors") for path in (finished / program, folder))
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    whole = record_of(finished / program)
    assert record["n_legs"] == 2
    assert record["seconds_wall"] > 500
    assert record["metrics"]["train_runtime"] > 200
    rate = record["n_tokens"] / record["metrics"]["train_runtime"]
    assert record["tokens_per_second"] == pytest.approx(rate, abs=0.06)
    if program == "pretrain":
        assert record["n_tokens"] == whole["n_tokens"]
    else:
        last_two_steps = record["n_tokens"] - 4000
        assert 0 < last_two_steps < whole["n_tokens"]
    losses = [
        log["loss"] for log in json.loads((folder / "trainer_state.json").read_text())["log_history"] if "loss" in log
    ]
    assert record["metrics"]["train_loss"] == pytest.approx((12.0 + sum(losses[-2:])) / 6, rel=1e-3)
    assert "checkpoints" not in record


def test_what_a_run_has_cost_is_noted_at_each_checkpoint_and_adds_up(
    finished: Path, tiny_model_folder: Path, rows: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.training.fine_tuning.LoggedSFTTrainer.save_model", power_cut_after(5))
    with pytest.raises(KeyboardInterrupt):
        run("sft", tiny_model_folder, rows, tmp_path / "run")
    monkeypatch.undo()
    noted = record_of(tmp_path / "run")["checkpoints"]
    assert list(noted) == ["2", "4"]
    record = run("sft", tiny_model_folder, rows, tmp_path / "run", "--resume")
    whole = record_of(finished / "sft")
    assert record["n_tokens"] == whole["n_tokens"]
    assert record["metrics"]["train_loss"] == pytest.approx(whole["metrics"]["train_loss"], rel=1e-5)
    assert noted["2"]["n_tokens"] < noted["4"]["n_tokens"] < whole["n_tokens"]


def power_cut_after(step: int) -> Any:
    from trl import SFTTrainer

    save = SFTTrainer.save_model

    def save_model(trainer: Any, *arguments: Any, **options: Any) -> None:
        if trainer.state.global_step > step:
            raise KeyboardInterrupt
        save(trainer, *arguments, **options)

    return save_model


@pytest.mark.parametrize(
    ("more", "before", "here"),
    [
        ("--learning_rate 1e-5", "learning_rate: 0.01", "learning_rate: 1e-05"),
        ("--per_device_train_batch_size 4", "per_device_train_batch_size: 2", "per_device_train_batch_size: 4"),
        ("--gradient_accumulation_steps 2", "gradient_accumulation_steps: 1", "gradient_accumulation_steps: 2"),
        ("--lora_r 8", "lora_r: 4", "lora_r: 8"),
        ("--seed 7", "seed: 42", "seed: 7"),
        ("--weight_decay 0.1 --optim sgd", "weight_decay: 0.0, optim: ", "weight_decay: 0.1, optim: sgd"),
        ("--lr_scheduler_type cosine", "lr_scheduler_type: linear", "lr_scheduler_type: cosine"),
    ],
)
@pytest.mark.parametrize("program", ["sft", "dpo"])
def test_other_keys_are_refused_with_both_values(
    program: str, more: str, before: str, here: str, finished: Path, tiny_model_folder: Path, rows: dict[str, Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    folder = interrupted(finished / program, tmp_path / "run")
    kept = (folder / "run.json").read_text()
    with pytest.raises(UserError) as caught:
        run(program, tiny_model_folder, rows, folder, f"--resume {more}")
    began, _, now = caught.value.problem.partition("; ")
    assert before in began
    assert here in now
    assert (folder / "run.json").read_text() == kept


def test_other_rows_are_refused(finished: Path, tiny_model_folder: Path, rows: dict[str, Path], tmp_path: Path) -> None:
    folder = interrupted(finished / "sft", tmp_path / "run")
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text("".join(rows["sft"].read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match="another train dataset"):
        run("sft", tiny_model_folder, {"sft": fewer}, folder, "--resume")


def test_what_does_not_change_the_course_holds_from_here_on_and_is_said(
    finished: Path, tiny_model_folder: Path, rows: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = interrupted(finished / "sft", tmp_path / "run")
    record = run(
        "sft", tiny_model_folder, rows, folder, "--resume --max_steps 8 --learning_rate 0.01 --logging_steps 2"
    )
    said = capsys.readouterr().err
    assert "changed from here on: max_steps: 8 (before: 6), logging_steps: 2 (before: 1)" in said
    assert "resuming from checkpoint-4" in said
    assert record["recipe"]["max_steps"] == 8
    assert json.loads((folder / "trainer_state.json").read_text())["global_step"] == 8


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


FAULTS = {
    "no trainer_state.json": lambda folder: (folder / "trainer_state.json").unlink(),
    "trainer_state.json is cut off": lambda folder: cut_off(folder / "trainer_state.json"),
    "optimizer.pt is cut off": lambda folder: cut_off(folder / "optimizer.pt"),
    "adapter_model.safetensors is cut off": lambda folder: cut_off(folder / "adapter_model.safetensors"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkpoint_that_is_not_whole_is_left_for_the_one_before(
    fault: str, finished: Path, tiny_model_folder: Path, rows: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = interrupted(finished / "sft", tmp_path / "run")
    FAULTS[fault](folder / "checkpoint-4")
    run("sft", tiny_model_folder, rows, folder, "--resume")
    assert f"checkpoint-4 is incomplete ({fault}); resuming from checkpoint-2" in capsys.readouterr().err
    straight, resumed = (load_file(path / "adapter_model.safetensors") for path in (finished / "sft", folder))
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_no_whole_checkpoint_is_one_line(
    finished: Path, tiny_model_folder: Path, rows: dict[str, Path], tmp_path: Path
) -> None:
    folder = interrupted(finished / "sft", tmp_path / "run")
    for path in folder.glob("checkpoint-*"):
        (path / "trainer_state.json").unlink()
    with pytest.raises(UserError, match=r"checkpoint-4: no trainer_state\.json, and 1 more"):
        run("sft", tiny_model_folder, rows, folder, "--resume")


def test_checkpoints_without_the_optimizer_are_refused_with_a_remedy_that_works(
    tiny_model_folder: Path, rows: dict[str, Path], tmp_path: Path
) -> None:
    run("sft", tiny_model_folder, rows, tmp_path / "first", "--save_only_model true --max_steps 4")
    record = record_of(tmp_path / "first")
    (tmp_path / "first" / "run.json").write_text(json.dumps({**record, "status": "started"}))
    with pytest.raises(UserError, match="save_only_model") as caught:
        run("sft", tiny_model_folder, rows, tmp_path / "first", "--save_only_model true --max_steps 4 --resume")
    flag = str(caught.value.fix).partition("with ")[2].partition(" and")[0]
    assert flag == f"--adapter_name_or_path {tmp_path / 'first' / 'checkpoint-4'}"
    assert run("sft", tiny_model_folder, rows, tmp_path / "second", flag)["status"] == "finished"


@pytest.mark.parametrize("program", PROGRAMS)
def test_resume_from_checkpoint_is_obeyed_or_refused(
    program: str, finished: Path, tiny_model_folder: Path, rows: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with pytest.raises(UserError, match=r"/nowhere, which does not exist.*; remove it; --resume"):
        run(program, tiny_model_folder, rows, tmp_path / "new", "--resume_from_checkpoint /nowhere")
    foreign = finished / program / "checkpoint-4"
    with pytest.raises(UserError, match=f"resume_from_checkpoint is {foreign}, .*; remove it"):
        run(program, tiny_model_folder, rows, tmp_path / "new", f"--resume_from_checkpoint {foreign}")
    folder = interrupted(finished / program, tmp_path / "run")
    own = folder / "checkpoint-2"
    assert run(program, tiny_model_folder, rows, folder, f"--resume_from_checkpoint {own}")["status"] == "finished"
    assert "resuming from checkpoint-2" in capsys.readouterr().err
