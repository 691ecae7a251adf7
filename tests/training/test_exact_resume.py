"""A run that was killed and resumed leaves the same folder as one that was not, to the bit."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import Trainer

from pipelines import dpo, pretrain, sft
from pipelines.reproduction.equal_runs import compare_runs
from pipelines.training.callbacks.throughput import CostCallback, ThroughputMeter
from pipelines.training.exact_resume import ExactResume
from tests.run_files import read_json, record_of
from tests.training.resumed_kinds import ALL_KINDS, KINDS, STOPPED_EARLY

PROGRAMS: dict[str, Any] = {"sft": sft, "dpo": dpo, "pretrain": pretrain}
RESUME = "pipelines.training.exact_resume"
AFTER_THE_TRAINING = 99
Run = Callable[..., Path]


class Killed(BaseException):
    """No handler of an error sees it."""


def nothing(*_: Any, **__: Any) -> None:
    """In place of a part of resuming."""


@pytest.fixture
def run(tiny_model_folder: Path, tmp_path: Path) -> Run:
    return runner(tiny_model_folder, tmp_path)


@pytest.fixture(scope="module")
def killed(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run grouped by length, `straight`, and `killed` in the second epoch, in the middle of a log line and while an
    answer was written."""
    folder = tmp_path_factory.mktemp("killed")
    run = runner(tiny_model_folder, folder)
    run("SFT, grouped, LoRA", "straight")
    killed = run("SFT, grouped, LoRA", "killed", killed_in=7)
    with (killed / "samples.jsonl").open("a") as file:
        file.write('{"step": 7, "prompt": "", "answer": "", "stopped": false}\n{"step": 7, "pro')
    return folder


def runner(base: Path, place: Path) -> Run:
    """Runs a kind into a folder; with `killed_in`, a step, it ends there: at its end, or `while_saving` it."""

    def call(kind: str, folder: str, *flags: str, killed_in: int | None = None, while_saving: bool = False) -> Path:
        def end_step(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG001
            if state.global_step == killed_in:
                raise Killed

        def save(trainer: Any, folder: str) -> None:
            if trainer.state.global_step == killed_in:
                raise Killed
            before(trainer, folder)

        def save_state(_: Any) -> None:
            raise Killed

        before = Trainer._save_rng_state
        with pytest.MonkeyPatch.context() as patch:
            if while_saving:
                patch.setattr(Trainer, "_save_rng_state", save)
            elif killed_in == AFTER_THE_TRAINING:
                patch.setattr(Trainer, "save_state", save_state)
            elif killed_in is not None:
                patch.setattr(CostCallback, "on_step_end", end_step)
            recipe = ALL_KINDS[kind].write_recipe(place / "recipe.json", base)
            named = ["--config", str(recipe), "--output_dir", str(place / folder), *flags]
            if killed_in is None:
                PROGRAMS[ALL_KINDS[kind].program].main(named)
            else:
                with pytest.raises(Killed):
                    PROGRAMS[ALL_KINDS[kind].program].main(named)
        return place / folder

    return call


def differences(run: Run, kind: str, *kills: int, while_saving: bool = False) -> tuple[str, ...]:
    """Between a straight run and one with a leg for each kill, and a last one."""
    straight = run(kind, "straight")
    for number, step in enumerate(kills):
        run(kind, "resumed", *(["--resume"] if number else []), killed_in=step, while_saving=while_saving)
    resumed = run(kind, "resumed", "--resume")
    legs = record_of(resumed)["legs"]
    assert len(legs) == len(kills) + 1
    if kills[-1] == AFTER_THE_TRAINING:
        assert legs[-1]["first_step"] == read_json(straight / "trainer_state.json")["global_step"]  # none again
    return compare_runs(straight, resumed).differences


@pytest.mark.parametrize(
    ("kind", "killed_in", "while_saving"),
    [
        ("SFT, evaluated each epoch, LoRA", 7, False),
        ("SFT, packed, QLoRA", 6, True),
        ("SFT, micro-batched, full", AFTER_THE_TRAINING, False),
        ("DPO, LoRA", 7, False),
        ("pretraining, blocks, LoRA, AdamW", AFTER_THE_TRAINING, False),
        ("pretraining, mixed, full, Muon", 8, True),
    ],
)
def test_a_killed_run_ends_as_a_straight_one(kind, killed_in, while_saving, run):
    assert differences(run, kind, killed_in, while_saving=while_saving) == ()


PLANTED: dict[str, tuple[str, Any, str]] = {
    "random state": ("transformers.Trainer._load_rng_state", nothing, "step 8, entry 3.entropy"),
    "optimizer": ("transformers.Trainer._load_optimizer_and_scheduler", nothing, "step 8, entry 3.entropy"),
    "order of the rows": (f"{RESUME}._GroupsOfEpoch.set_epoch", nothing, "step 8, entry 3.entropy"),
    "log line": (f"{RESUME}.ExactResume.continue_from", nothing, "step 8, entry 3.entropy"),
    "tokens": ("pipelines.records.run_folder.cost_of_checkpoint", lambda _: {}, "step 8, entry 3.num_tokens"),
    "samples": (
        "pipelines.training.callbacks.samples.SampleAnswersCallback.on_train_begin",
        nothing,
        "samples.jsonl: line 5",
    ),
}


def test_answers_after_the_checkpoint_are_given_once(tiny_model_folder, killed):
    shutil.copytree(killed / "killed", killed / "resumed")
    resumed = runner(tiny_model_folder, killed)("SFT, grouped, LoRA", "resumed", "--resume")
    assert compare_runs(killed / "straight", resumed).differences == ()


@pytest.mark.parametrize("planted", PLANTED)
def test_every_planted_difference_is_found_where_it_begins(planted, tiny_model_folder, killed, monkeypatch):
    shutil.copytree(killed / "killed", killed / planted)
    place, instead, first = PLANTED[planted]
    monkeypatch.setattr(place, instead)
    resumed = runner(tiny_model_folder, killed)("SFT, grouped, LoRA", planted, "--resume")
    assert first in compare_runs(killed / "straight", resumed).differences[0]


def test_the_sums_of_a_run_on_a_gpu_are_read_on_a_cpu(tmp_path, monkeypatch):
    trainer: Any = ExactResume()
    trainer.args = SimpleNamespace(device=torch.device("cpu"), process_index=0, save_only_model=False)
    trainer.model, trainer.throughput = torch.nn.Linear(1, 1), ThroughputMeter()
    trainer._tr_loss, trainer._total_loss_scalar, trainer._globalstep_last_logged = torch.tensor(2.5), 7.0, 3
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")  # as if the tensors were there
        trainer._save_own_state(tmp_path)
    trainer.continue_from(tmp_path, 0.0)
    assert trainer._tr_loss == torch.tensor(2.5)
    assert trainer._tr_loss.device == torch.device("cpu")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("kills", "while_saving"),
    [
        ((1,), False),
        ((5,), False),
        ((7, 8), False),
        ((AFTER_THE_TRAINING,), False),
        ((3, 6), True),
        ((6, 8), True),
    ],
)
def test_every_kind_can_be_killed_anywhere(kind, kills, while_saving, run):
    if while_saving and "epoch" in kind:
        kills = (5, 8)  # its checkpoints
    assert differences(run, kind, *kills, while_saving=while_saving) == ()


@pytest.mark.slow
def test_a_run_that_was_stopped_early_trains_no_further(run):
    assert differences(run, STOPPED_EARLY, AFTER_THE_TRAINING) == ()
