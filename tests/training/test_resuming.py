"""An interrupted run goes on as the run that it was, or says why it cannot."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import dpo, pretrain, sft
from pipelines.errors import UserError
from pipelines.records.checkpoint import seal_checkpoint
from tests.run_files import mark_started, read_json, record_of, same_weights, write_jsonl

FUNCTIONS = [f"def add_{n}(x):\n    return x + {n}" for n in range(24)]
COMMON = (
    "--bf16 false --dtype float32 --report_to none --disable_tqdm true --eval_strategy no --n_samples 0 --max_steps 6 "
    "--save_strategy steps --save_steps 2 --logging_steps 1 --per_device_train_batch_size 2 --learning_rate 1e-2 "
    "--doctor off --activation_checkpointing false --use_peft --lora_r 4 --lora_dropout 0"
)
Interrupt = Callable[[str], Path]
Run = Callable[..., dict[str, Any]]
PROGRAMS: dict[str, Any] = {"sft": sft, "dpo": dpo, "pretrain": pretrain}
MORE = {"sft": "--max_length 128", "dpo": "--max_length 128", "pretrain": "--max_length 16"}


@pytest.fixture(scope="module")
def run(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    folder = tmp_path_factory.mktemp("rows")
    sets: dict[str, list[dict[str, str]]] = {
        "sft": [{"instruction": f"add {n}", "output": text} for n, text in enumerate(FUNCTIONS)],
        "dpo": [{"prompt": f"add {n}", "chosen": text, "rejected": "no"} for n, text in enumerate(FUNCTIONS)],
        "pretrain": [{"text": text} for text in FUNCTIONS],
    }
    for name, rows in sets.items():
        write_jsonl(folder / f"{name}.jsonl", rows)
    write_jsonl(folder / "fewer.jsonl", sets["sft"][:-1])

    def run(program: str, output: Path, more: str = "", rows: str | None = None) -> dict[str, Any]:
        """run.json after the program has run."""
        dataset = folder / f"{rows or program}.jsonl"
        named = f"--model_name_or_path {tiny_model_folder} --dataset_name {dataset} --output_dir {output}"
        common = COMMON.replace("--activation_checkpointing false ", "") if program == "pretrain" else COMMON
        PROGRAMS[program].main(f"{named} {common} {MORE[program]} {more}".split())
        return record_of(output)

    return run


@pytest.fixture(scope="module")
def finished(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of each program, with checkpoints of steps 2, 4 and 6."""
    folder = tmp_path_factory.mktemp("runs")
    for program in PROGRAMS:
        run(program, folder / program)
    return folder


@pytest.fixture
def interrupted(finished: Path, tmp_path: Path) -> Interrupt:
    """A copy of a program's run as a power cut after its checkpoint of step 4 leaves it."""

    def copy(program: str) -> Path:
        folder = Path(shutil.copytree(finished / program, tmp_path / "run"))
        shutil.rmtree(folder / "checkpoint-6")
        for name in ("adapter_model.safetensors", "trainer_state.json", "ledger.json"):
            (folder / name).unlink(missing_ok=True)
        for n in (2, 4):
            cost = {"n_tokens": 1000 * n, "seconds_train": 50.0 * n, "seconds_wall": 60.0 * n}
            seal_checkpoint(folder / f"checkpoint-{n}", {**cost, "peak_memory_bytes": 1 << 50})
        legs = [{"first_step": 0, "last_step": 5, "seconds_wall": 500.0}]
        mark_started(folder, seconds_wall=500.0, legs=legs)
        return folder

    return copy


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_resumed_run_gives_the_same_model(program, finished, interrupted, run):
    folder = interrupted(program)
    record = run(program, folder, "--resume")
    assert same_weights(finished / program, folder)
    whole = record_of(finished / program)
    done = {"first_step": 0, "last_step": 5, "seconds_wall": 500.0}
    assert record["legs"][0] == {**done, "n_steps_repeated": 1, "seconds_repeated": 260.0}
    assert record["legs"][1].items() >= {"first_step": 4, "last_step": 6}.items()
    assert record["seconds_wall"] == pytest.approx(500 + record["legs"][1]["seconds_wall"])
    assert record["peak_memory_bytes"] == 1 << 50
    assert record["metrics"]["train_runtime"] > 200
    rate = record["n_tokens"] / record["metrics"]["train_runtime"]
    assert record["tokens_per_second"] == pytest.approx(rate, abs=0.06)
    if program == "pretrain":
        assert record["n_tokens"] == whole["n_tokens"]
    else:
        assert 0 < record["n_tokens"] - 4000 < whole["n_tokens"]  # of the last two steps
    assert record["metrics"]["train_loss"] == whole["metrics"]["train_loss"]


def test_an_older_checkpoint_stays_until_the_next_one_is_whole(finished, run, tmp_path, monkeypatch, capsys):
    def power_cut(folder: Path, cost: Any, **options: Any) -> None:
        if folder.name == "checkpoint-4":
            raise KeyboardInterrupt
        seal_checkpoint(folder, cost, **options)

    monkeypatch.setattr("pipelines.training.exact_resume.seal_checkpoint", power_cut)
    with pytest.raises(KeyboardInterrupt):
        run("sft", tmp_path, "--save_total_limit 1")
    monkeypatch.undo()
    run("sft", tmp_path, "--save_total_limit 1 --resume")
    assert "checkpoint-4 is not whole (no checkpoint.json" in capsys.readouterr().err
    assert same_weights(finished / "sft", tmp_path)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-6"]


@pytest.mark.parametrize(
    ("more", "before", "here"),
    [
        ("--learning_rate 1e-5", "learning_rate: 0.01", "learning_rate: 1e-05"),
        ("--per_device_train_batch_size 4", "per_device_train_batch_size: 2", "per_device_train_batch_size: 4"),
        ("--gradient_accumulation_steps 2", "gradient_accumulation_steps: 1", "gradient_accumulation_steps: 2"),
        ("--lora_r 8", "lora_r: 4", "lora_r: 8"),
        ("--seed 7", "seed: 42", "seed: 7"),
        ("--max_steps 8", "max_steps: 6", "max_steps: 8"),
        ("--weight_decay 0.1 --optim sgd", "weight_decay: 0.0, optim: ", "weight_decay: 0.1, optim: sgd"),
        ("--lr_scheduler_type cosine", "lr_scheduler_type: linear", "lr_scheduler_type: cosine"),
    ],
)
@pytest.mark.parametrize("program", ["sft", "dpo"])
def test_other_keys_refused(program, more, before, here, interrupted, run):
    folder = interrupted(program)
    kept = (folder / "run.json").read_text()
    with pytest.raises(UserError) as caught:
        run(program, folder, f"--resume {more}")
    began, _, now = caught.value.problem.partition("; ")
    assert before in began
    assert here in now
    assert (folder / "run.json").read_text() == kept


def test_other_rows_are_refused(interrupted, run):
    with pytest.raises(UserError, match="another train dataset"):
        run("sft", interrupted("sft"), "--resume", rows="fewer")


def test_other_keys_hold_from_here_on(interrupted, run, capsys):
    folder = interrupted("sft")
    record = run("sft", folder, "--resume --learning_rate 0.01 --logging_steps 2")
    printed = capsys.readouterr().err
    assert "changed from here on: logging_steps: 2 (before: 1)" in printed
    assert "resuming from checkpoint-4" in printed
    assert record["recipe"]["logging_steps"] == 2


def test_a_run_is_made_longer_only_if_its_rates_do_not_depend_on_its_end(run, tmp_path):
    constant = "--lr_scheduler_type constant --max_steps"
    run("sft", tmp_path, f"{constant} 2")
    mark_started(tmp_path)
    run("sft", tmp_path, f"{constant} 4 --resume")
    assert read_json(tmp_path / "trainer_state.json")["global_step"] == 4


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


FAULTS: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "no seal": ("checkpoint.json", Path.unlink, "no checkpoint.json, which is written last"),
    "no state": ("trainer_state.json", Path.unlink, "no trainer_state.json"),
    "half an optimizer": ("optimizer.pt", cut_off, "optimizer.pt has "),
    "half an adapter": ("adapter_model.safetensors", cut_off, "adapter_model.safetensors has "),
    "another weight": ("adapter_model.safetensors", change_a_byte, "adapter_model.safetensors has changed"),
    "half a seal": ("checkpoint.json", cut_off, "checkpoint.json is unreadable"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_broken_checkpoint_is_left(fault, finished, interrupted, run, capsys):
    folder = interrupted("sft")
    name, breaks, said = FAULTS[fault]
    breaks(folder / "checkpoint-4" / name)
    run("sft", folder, "--resume")
    printed = capsys.readouterr().err
    assert f"checkpoint-4 is not whole ({said}" in printed
    assert "); resuming from checkpoint-2" in printed
    assert same_weights(finished / "sft", folder)


def test_a_run_killed_before_it_began_starts(finished, run, tmp_path, capsys):
    run("sft", tmp_path / "new", "--resume")
    assert "new holds no run to resume: starting at step 0" in capsys.readouterr().err
    assert same_weights(finished / "sft", tmp_path / "new")
    assert len(record_of(tmp_path / "new")["legs"]) == 1


def test_a_run_killed_in_its_first_checkpoint_starts_again(finished, interrupted, run, capsys):
    folder = interrupted("sft")
    shutil.rmtree(folder / "checkpoint-4")
    (folder / "checkpoint-2" / "checkpoint.json").unlink()
    run("sft", folder, "--resume")
    said = (
        "checkpoint-2 is not whole (no checkpoint.json, which is written last); the run has no checkpoint yet: starting"
    )
    assert said in capsys.readouterr().err
    assert same_weights(finished / "sft", folder)


def test_no_whole_checkpoint_is_one_line(interrupted, run):
    folder = interrupted("sft")
    for path in folder.glob("checkpoint-*"):
        (path / "trainer_state.json").unlink()
    with pytest.raises(UserError, match=r"is whole \(checkpoint-4: no trainer_state\.json, and 1 more"):
        run("sft", folder, "--resume")


def test_checkpoints_without_the_optimizer_are_refused_with_a_remedy_that_works(run, tmp_path):
    first = tmp_path / "first"
    run("sft", first, "--save_only_model true --max_steps 4")
    mark_started(first)
    with pytest.raises(UserError, match="save_only_model") as caught:
        run("sft", first, "--save_only_model true --max_steps 4 --resume")
    flag = str(caught.value.fix).partition("with ")[2].partition(" and")[0]
    assert flag == f"--adapter_name_or_path {first / 'checkpoint-4'}"
    assert run("sft", tmp_path / "second", flag)["status"] == "finished"


@pytest.mark.parametrize("program", PROGRAMS)
def test_resume_from_checkpoint_is_obeyed_or_refused(program, finished, interrupted, run, tmp_path, capsys):
    foreign, folder = finished / program / "checkpoint-4", interrupted(program)
    for place, complaint in (
        ("/nowhere", ", which does not exist.*; remove it; --resume"),
        (foreign, ", .*; remove it"),
    ):
        with pytest.raises(UserError, match=f"{place}{complaint}"):
            run(program, tmp_path / "new", f"--resume_from_checkpoint {place}")
    (folder / "checkpoint-4" / "checkpoint.json").unlink()
    with pytest.raises(UserError, match=r"checkpoint-4 is not whole: no checkpoint\.json"):
        run(program, folder, f"--resume_from_checkpoint {folder}/checkpoint-4")
    assert run(program, folder, f"--resume_from_checkpoint {folder}/checkpoint-2")["status"] == "finished"
    assert "resuming from checkpoint-2" in capsys.readouterr().err
