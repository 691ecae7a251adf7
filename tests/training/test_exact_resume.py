"""A run that was killed and resumed leaves the same folder as one that was not, to the bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer

from pipelines import dpo, pretrain, sft
from pipelines.reproduction.equal_runs import compare_runs
from pipelines.training.callbacks.throughput import CostCallback
from tests.run_files import record_of
from tests.training.resumed_kinds import KINDS

PROGRAMS: dict[str, Any] = {"sft": sft, "dpo": dpo, "pretrain": pretrain}
AFTER_THE_TRAINING = 99
Run = Callable[..., Path]


class Killed(BaseException):
    """No handler of an error sees it."""


@pytest.fixture
def run(tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a kind into a folder; with `killed_in`, a step, end there: at its end, or `while_saving` it."""

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
        with monkeypatch.context() as patch:
            if while_saving:
                patch.setattr(Trainer, "_save_rng_state", save)
            elif killed_in == AFTER_THE_TRAINING:
                patch.setattr(Trainer, "save_state", save_state)
            elif killed_in is not None:
                patch.setattr(CostCallback, "on_step_end", end_step)
            recipe = KINDS[kind].write_recipe(tmp_path / "recipe.json", tiny_model_folder)
            named = ["--config", str(recipe), "--output_dir", str(tmp_path / folder), *flags]
            if killed_in is None:
                PROGRAMS[KINDS[kind].program].main(named)
            else:
                with pytest.raises(Killed):
                    PROGRAMS[KINDS[kind].program].main(named)
        return tmp_path / folder

    return call


def differences(run: Run, kind: str, *kills: int, while_saving: bool = False) -> tuple[str, ...]:
    """Between a straight run and one with a leg for each kill, and a last one."""
    straight = run(kind, "straight")
    for number, step in enumerate(kills):
        run(kind, "resumed", *(["--resume"] if number else []), killed_in=step, while_saving=while_saving)
    resumed = run(kind, "resumed", "--resume")
    assert len(record_of(resumed)["legs"]) == len(kills) + 1
    return compare_runs(straight, resumed).differences


@pytest.mark.parametrize(
    ("kind", "killed_in", "while_saving"),
    [
        ("SFT, grouped, LoRA", 7, False),
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
        ((5, 8), True),
    ],
)
def test_every_kind_can_be_killed_anywhere(kind, kills, while_saving, run):
    if while_saving and 3 in kills and "epoch" in kind:
        pytest.skip("has no checkpoint of step 3")
    assert differences(run, kind, *kills, while_saving=while_saving) == ()
