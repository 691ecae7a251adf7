"""A run that is told to stop saves a checkpoint first, and continues as if it had not stopped."""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from pipelines import sft
from pipelines.errors import Stopped
from pipelines.records.checkpoint import checkpoint_fault
from pipelines.training import exact_resume, saving
from pipelines.training.callbacks import stopping
from pipelines.training.callbacks.stopping import StopWithCheckpoint
from pipelines.training.callbacks.throughput import CostCallback
from tests.run_files import logged, record_of, same_weights, write_jsonl

KEYS = (
    "--bf16 false --dtype float32 --report_to none --disable_tqdm true --eval_strategy no --n_samples 0 --max_steps 4 "
    "--save_strategy no --logging_steps 1 --per_device_train_batch_size 2 --learning_rate 1e-2 --doctor off "
    "--activation_checkpointing false --use_peft --lora_r 4 --max_length 64 --row_losses false"
)
Run = Callable[..., Path]


@pytest.fixture
def run(tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run sft.py into a folder; in step `at`, `do` is called."""
    rows = tmp_path / "rows.jsonl"
    write_jsonl(rows, ({"instruction": f"add {n}", "output": f"def add_{n}(x):\n    return x + {n}"} for n in range(8)))

    def call(folder: str, more: str = "", at: int = 0, do: Callable[[], Any] = lambda: None) -> Path:
        def begin(_: Any, args: Any, state: Any, control: Any, **__: Any) -> None:  # noqa: ARG001
            if state.global_step + 1 == at:
                do()

        monkeypatch.setattr(CostCallback, "on_step_begin", begin)
        named = f"--model_name_or_path {tiny_model_folder} --dataset_name {rows} --output_dir {tmp_path / folder}"
        sft.main(f"{named} {KEYS} {more}".split())
        return tmp_path / folder

    return call


@pytest.fixture
def taken() -> Iterator[list[int]]:
    """The signals that reach the handlers that were there before."""
    numbers: list[int] = []
    before = {one: signal.signal(one, lambda n, _: numbers.append(n)) for one in (signal.SIGTERM, signal.SIGUSR1)}
    yield numbers
    for one, handler in before.items():
        signal.signal(one, handler)


def send(*numbers: int) -> Callable[[], Any]:
    return lambda: [os.kill(os.getpid(), number) for number in numbers]


def test_a_signal_ends_the_run_after_a_checkpoint_from_which_it_continues_the_same(run, tmp_path, taken, capfd):
    straight = run("straight")
    with pytest.raises(Stopped, match=r"stopped at step 2 \(SIGUSR1\), which is saved; .* --resume") as stopped:
        run("stopped", "--save_only_model true", at=2, do=send(signal.SIGUSR1))
    assert stopped.value.exit_code == 128 + signal.SIGUSR1
    assert "SIGUSR1: stopping after this step with a checkpoint" in capfd.readouterr().err
    assert record_of(tmp_path / "stopped")["status"] == "stopped"
    resumed = run("stopped", "--resume")
    assert "resuming from checkpoint-2" in capfd.readouterr().err
    assert same_weights(straight, resumed)
    assert logged(straight, "loss") == logged(resumed, "loss")
    assert taken == []


def test_a_second_signal_and_one_after_the_training_act_as_before(run, taken):
    with pytest.raises(Stopped):
        run("stopped", at=1, do=send(signal.SIGTERM, signal.SIGTERM))
    assert taken == [signal.SIGTERM]
    send(signal.SIGUSR1)()
    assert taken == [signal.SIGTERM, signal.SIGUSR1]


def test_a_signal_in_the_last_step_lets_the_run_finish(run, taken, capfd):
    assert record_of(run("whole", at=4, do=send(signal.SIGTERM)))["status"] == "finished"
    assert "stopping after this step with a checkpoint, or finishing if it is the last" in capfd.readouterr().err
    assert taken == []


def test_a_signal_in_an_evaluation_stops_at_this_step_and_one_while_saving_at_this_checkpoint(
    run, tmp_path, monkeypatch
):
    def told(_: Any, args: Any, state: Any, *__: Any, **___: Any) -> None:  # noqa: ARG001
        if state.global_step == 2:
            send(signal.SIGUSR1)()

    evaluating = "--eval_strategy steps --eval_steps 1 --test_split_size 0.25 --save_strategy best --n_samples 1"
    monkeypatch.setattr(CostCallback, "on_evaluate", told, raising=False)
    with pytest.raises(Stopped, match="stopped at step 2 "):
        run("evaluating", f"{evaluating} --metric_for_best_model eval_loss --greater_is_better true")
    monkeypatch.delattr(CostCallback, "on_evaluate")
    monkeypatch.setattr(CostCallback, "on_save", told, raising=False)
    with pytest.raises(Stopped, match="stopped at step 2 "):
        run("saving", "--save_strategy steps --save_steps 1")
    assert checkpoint_fault(tmp_path / "evaluating" / "checkpoint-2") is None
    assert checkpoint_fault(tmp_path / "saving" / "checkpoint-2") is None


def test_a_stop_within_an_epoch_or_in_its_last_step_saves_once_and_leaves_the_evaluation_to_the_resumed_run(
    run, tmp_path, monkeypatch
):
    def seal(folder: Path, *arguments: Any, **options: Any) -> None:
        if folder.parent == tmp_path / "stopped":  # the trial of the largest batch saves too
            written.append(folder.name)
        before(folder, *arguments, **options)

    written: list[str] = []
    before = exact_resume.seal_checkpoint
    monkeypatch.setattr(exact_resume, "seal_checkpoint", seal)
    each_epoch = "--eval_strategy epoch --save_strategy epoch --logging_strategy epoch --test_split_size 0.25"
    straight = run("straight", each_epoch)
    for step in (2, 3):
        written.clear()
        with pytest.raises(Stopped, match=f"stopped at step {step} "):
            run("stopped", each_epoch + " --resume" * (step - 2), at=step, do=send(signal.SIGUSR1))
        assert written == [f"checkpoint-{step}"]
        assert checkpoint_fault(tmp_path / "stopped" / f"checkpoint-{step}") is None
    resumed = run("stopped", f"{each_epoch} --resume")
    for key in ("step", "loss", "eval_loss"):
        assert logged(straight, key) == logged(resumed, key)


def test_the_evaluation_that_a_resumed_run_does_first_can_be_the_best_and_counts_for_the_schedule(run):
    best = "--load_best_model_at_end --save_strategy best --metric_for_best_model eval_loss --greater_is_better false"
    best += " --eval_strategy epoch --test_split_size 0.25 --max_steps 7 --lr_scheduler_type reduce_lr_on_plateau"
    best += ' --lr_scheduler_kwargs {"patience":0}'
    straight = run("straight", best)
    with pytest.raises(Stopped):
        run("stopped", best, at=3, do=send(signal.SIGUSR1))
    resumed = run("stopped", f"{best} --resume")
    assert record_of(straight)["best_checkpoint"] == record_of(resumed)["best_checkpoint"]
    assert record_of(resumed)["best_checkpoint"]["step"] == 3
    assert logged(straight, "learning_rate") == logged(resumed, "learning_rate")
    assert len(set(logged(resumed, "learning_rate"))) > 1


def test_a_stop_keeps_its_checkpoint_beside_the_best_one(run, tmp_path):
    best = "--eval_strategy steps --eval_steps 1 --save_steps 1 --save_strategy steps --test_split_size 0.25"
    best += " --load_best_model_at_end --metric_for_best_model eval_loss --greater_is_better true --save_total_limit 1"
    with pytest.raises(Stopped, match="stopped at step 3 "):
        run("stopped", best, at=3, do=send(signal.SIGUSR1))
    assert checkpoint_fault(tmp_path / "stopped" / "checkpoint-3") is None


def test_a_second_ctrl_c_ends_the_run_at_once_while_a_checkpoint_is_written(run, tmp_path, monkeypatch):
    def interrupted(folder: Path) -> None:
        if folder.name == "checkpoint-2":
            send(signal.SIGTERM, signal.SIGINT)()

    monkeypatch.setattr(saving, "complete_saved_model", lambda folder, _: interrupted(folder))
    with pytest.raises(KeyboardInterrupt):
        run("ended", "--save_strategy steps --save_steps 1")
    folder = tmp_path / "ended"
    assert (record_of(folder)["status"], record_of(folder)["failure"]) == ("failed", "KeyboardInterrupt")
    assert (checkpoint_fault(folder / "checkpoint-1"), checkpoint_fault(folder / "checkpoint-2") is None) == (
        None,
        False,
    )


def test_a_signal_that_comes_while_the_ranks_are_asked_stops_at_the_next_step(monkeypatch):
    stop, state = StopWithCheckpoint(), TrainerState(max_steps=9)
    args: Any = SimpleNamespace(world_size=2, save_only_model=False, save_strategy="no")

    def asked(own: list[int | None]) -> list[int | None]:
        stop.exit_code = 143
        return [*own, None]

    monkeypatch.setattr(stopping, "gather_object", asked)
    for state.global_step in (1, 2):
        stop.on_step_end(args, state, TrainerControl())
    assert stop.stopped_at == 2


def test_a_signal_that_interrupts_a_line_on_the_terminal_stops_the_run_too(monkeypatch, taken):
    class Terminal(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, line: Any) -> int:
            if stop.exit_code is None:
                send(signal.SIGUSR1)()
            return len(line)

    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(Terminal()), write_through=True))
    stop = StopWithCheckpoint()
    stop.on_train_begin(TrainingArguments(), TrainerState(), TrainerControl())
    try:
        print("a step", file=sys.stderr, flush=True)
    finally:
        stop.give_back()
    assert (stop.exit_code, taken) == (128 + signal.SIGUSR1, [])


@pytest.mark.parametrize(
    ("command", "launches"),
    [
        ("python -m accelerate.commands.launch --config_file a.yaml pipelines/sft.py", True),
        ("/venv/bin/python /venv/bin/accelerate launch pipelines/sft.py", True),
        ("/venv/bin/python /venv/bin/accelerate-launch pipelines/sft.py", True),
        ("python my_sweep.py accelerate", False),
        ("bash accelerate_configs/all.sh", False),
        ("-bash", False),
    ],
)
def test_the_launcher_is_known_by_its_command(command, launches):
    assert stopping._is_launcher(command.split()) == launches


def test_max_hours_leaves_time_for_a_step_an_evaluation_and_a_checkpoint(monkeypatch):
    clock = SimpleNamespace(now=0.0, time=lambda: began + clock.now, monotonic=lambda: clock.now)
    monkeypatch.setattr(stopping, "time", clock)
    began = psutil.Process().create_time()
    stop, args, state = StopWithCheckpoint(100 / 3600), TrainingArguments(), TrainerState(max_steps=99)
    took = {"on_step_end": 10, "on_evaluate": 20, "on_save": 5}
    steps = [1, 2, 3, 4]
    stop.on_train_begin(args, state, TrainerControl())
    for state.global_step in steps:
        stop.on_step_begin()
        for event, seconds in took.items():
            if event == "on_step_end" or state.global_step == 2:
                clock.now += seconds
                getattr(stop, event)(args, state, TrainerControl())
    stop.give_back()
    # 100 s: after step 4 it is 10 + 35 + 10 + 10 = 65 s, and one more step with evaluation and checkpoint takes 35 s
    assert stop.stopped_at == 4


def test_a_run_stops_when_its_time_is_over(run, tmp_path):
    with pytest.raises(Stopped, match=r"stopped at step 1 \(max_hours is over\)") as stopped:
        run("stopped", "--max_hours 1e-9")
    assert stopped.value.exit_code == 75
    assert (tmp_path / "stopped" / "checkpoint-1" / "checkpoint.json").is_file()


def test_an_error_is_recorded_and_the_run_can_be_resumed(run, tmp_path, taken):
    def fail() -> None:
        raise RuntimeError("out of\nmemory")

    with pytest.raises(RuntimeError):
        run("failed", "--save_strategy steps --save_steps 1", at=3, do=fail)
    send(signal.SIGTERM)()
    assert taken == [signal.SIGTERM]  # by the handler that was there before
    record = record_of(tmp_path / "failed")
    assert (record["status"], record["failure"]) == ("failed", "RuntimeError: out of memory")
    record = record_of(run("failed", "--save_strategy steps --save_steps 1 --resume"))
    assert record["status"] == "finished"
    assert "failure" not in record
