"""Every log says what the step cost: tokens counted to the last one, time without evaluation, one line to read."""

import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl import DPOConfig, DPOTrainer

from pipelines.training.callbacks.logging_callback import LoggingCallback, ThroughputLogging, add_logging, log_line, say
from pipelines.training.callbacks.throughput import ThroughputMeter, batch_counts
from tests.conftest import PROJECT
from tests.training.callbacks.logged_trainers import logged_trainer, rows_of, tokenizer_of

ADDED = {"tokens_per_second", "loss_token_share", "tflops_per_second", "peak_memory_gib", "seconds_left"}


class WatchedDPOTrainer(ThroughputLogging, DPOTrainer):
    pass


def hand_counts(rows: Any) -> list[int]:
    """Tokens, predicted tokens, squared lengths; a label at place 0 has nothing before it and is not predicted."""
    return [
        sum(len(row["input_ids"]) for row in rows),
        sum(label != -100 for row in rows for label in row["labels"][1:]),
        sum(len(row["input_ids"]) ** 2 for row in rows),
    ]


def counted(trainer: Any) -> list[int]:
    """All counts of one epoch of a trainer that never logged."""
    trainer.train()
    return trainer.throughput.close_window()[0].tolist()


@pytest.mark.parametrize(
    "options", [{}, {"gradient_accumulation_steps": 2}, {"padding_free": True}, {"packing": True, "max_length": 48}]
)
def test_tokens_of_padded_and_packed_batches_are_counted_exactly(
    tiny_model_folder: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    rows = rows_of(tokenizer_of(tiny_model_folder), 15)
    options = {"logging_strategy": "no", "max_steps": -1, "num_train_epochs": 1, **options}
    assert counted(logged_trainer(tiny_model_folder, tmp_path, rows=rows, **options)) == hand_counts(rows)


def test_rows_trained_on_in_full_lose_the_prediction_of_their_first_token(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    rows = rows_of(tokenizer_of(tiny_model_folder), 8).map(lambda row: {"labels": row["input_ids"]})
    options: dict[str, Any] = {"logging_strategy": "no", "max_steps": -1, "num_train_epochs": 1}
    counts = counted(logged_trainer(tiny_model_folder, tmp_path, rows=rows, **options))
    assert counts == hand_counts(rows)
    assert counts[0] - counts[1] == 8


def test_both_answers_of_preference_pairs_are_counted(tiny_model_folder: Path, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tiny_model_folder)
    pairs = [{"prompt": f"number {n} is ", "chosen": "x" * (n + 1), "rejected": "no"} for n in range(6)]
    trainer = WatchedDPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model_folder),
        args=DPOConfig(output_dir=str(tmp_path), num_train_epochs=1, per_device_train_batch_size=4, use_cpu=True,
                       bf16=False, report_to="none", logging_strategy="no", save_strategy="no", disable_tqdm=True),
        train_dataset=Dataset.from_list(pairs),
        processing_class=tokenizer,
    )  # fmt: skip

    def n_of(text: str) -> int:
        return len(tokenizer(text)["input_ids"])

    whole = [n_of(p["prompt"]) + n_of(p[side]) + 1 for p in pairs for side in ("chosen", "rejected")]
    answers = [n_of(p[side]) + 1 for p in pairs for side in ("chosen", "rejected")]  # the end token is one of them
    assert counted(trainer) == [sum(whole), sum(answers), sum(n * n for n in whole)]
    assert trainer._has_reference_pass


def test_blocks_without_a_mask_are_all_tokens() -> None:
    ids = torch.arange(12).reshape(2, 6)
    assert batch_counts({"input_ids": ids, "labels": ids}).tolist() == [12, 10, 72]


def test_each_log_says_pace_and_share_and_trainer_state_has_it(tiny_model_folder: Path, tmp_path: Path) -> None:
    rows = rows_of(tokenizer_of(tiny_model_folder), 16)
    trainer = logged_trainer(tiny_model_folder, tmp_path, rows=rows, logging_steps=4)
    trainer.train()
    trainer.save_state()
    log = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"][0]
    assert log.keys() > ADDED
    assert "mfu" not in log  # a CPU's peak is not known
    n_tokens, n_predicted, _ = hand_counts(rows)
    assert log["loss_token_share"] == pytest.approx(n_predicted / n_tokens, abs=1e-4)
    assert log["tokens_per_second"] > 0
    assert log["seconds_left"] == 0


def test_mfu_is_there_where_the_peak_is_known(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = logged_trainer(tiny_model_folder, tmp_path)
    trainer.train()
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H200")
    monkeypatch.setattr(type(trainer.args), "device", torch.device("cuda"))
    found = trainer._utilization(10**9, 10**9, 10**9, 1.0)
    assert found["mfu"] == pytest.approx(found["tflops_per_second"] / 989, abs=1e-4)
    assert found["mfu"] > 0


class Clock:
    """A clock that goes on when it is told to, in place of the module `time`."""

    seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr("pipelines.training.callbacks.throughput.time", clock := Clock())
    return clock


def test_the_time_left_falls_and_counts_the_steps_of_this_process_only(clock: Clock) -> None:
    meter, batch = ThroughputMeter(), {"input_ids": torch.ones(1, 4).long(), "labels": torch.ones(1, 4).long()}
    assert meter.seconds_left(0, 10) is None
    left = []
    for step in range(100, 104):  # resumed at step 100
        meter.count(batch, step)
        clock.seconds += 20 if step == 100 else 2  # the first step is slow
        left.append(meter.seconds_left(step + 1, 110))
    assert left[1:] == [16, 14, 12]


def test_evaluation_is_no_training_time_but_is_waited_for(clock: Clock) -> None:
    meter, batch = ThroughputMeter(), {"input_ids": torch.ones(1, 4).long(), "labels": torch.ones(1, 4).long()}
    for step in range(2):
        meter.count(batch, step)
    with meter.paused(), meter.paused():
        assert meter.is_paused
        clock.seconds += 30
    assert not meter.is_paused
    counts, seconds = meter.close_window()
    assert counts is not None
    assert (counts.tolist()[0], meter.close_window()[0]) == (8, None)
    assert seconds == 0
    assert meter.seconds_left(2, 4) == 30


def test_the_view_replaces_the_printed_dicts(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = logged_trainer(tiny_model_folder, tmp_path, eval_strategy="steps", eval_steps=2)
    add_logging(trainer)
    add_logging(trainer)
    trainer.train()
    lines = capsys.readouterr().out.splitlines()
    kinds = [type(callback) for callback in trainer.callback_handler.callbacks]
    assert kinds.count(LoggingCallback) == 1
    assert PrinterCallback not in kinds
    assert [line.split(" ·")[0] for line in lines] == [
        "step 1/4", "step 2/4", "step 2", "step 3/4", "step 4/4", "step 4", "trained to step 4 in 0 s"
    ]  # fmt: skip
    assert "% in loss" in lines[0]


def test_progress_bars_stay_without_their_dicts(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = logged_trainer(tiny_model_folder, tmp_path, disable_tqdm=False)
    add_logging(trainer)
    trainer.train()
    said = capsys.readouterr()
    assert "4/4" in said.err
    assert "{" not in said.out + said.err
    assert sum(isinstance(callback, ProgressCallback) for callback in trainer.callback_handler.callbacks) == 1


def test_a_line_is_short_and_a_broken_gradient_is_loud() -> None:
    logs = {"loss": 2.3141, "grad_norm": float("nan"), "learning_rate": 1e-4, "tokens_per_second": 3700.4,
            "loss_token_share": 0.62, "tflops_per_second": 402.1, "mfu": 0.4066, "peak_memory_gib": 3.12,
            "seconds_left": 130.0}  # fmt: skip
    assert log_line(logs, 20, 100) == (
        "step 20/100 · loss 2.314 · GRAD NORM nan · lr 1.0e-04 · 3,700 tok/s · 62% in loss · 402 TFLOP/s · 40.7% MFU"
        " · 3.1 GiB · 2 min left"
    )
    assert "GRAD NORM" not in log_line({**logs, "grad_norm": 1.0}, 20, 100)
    evaluation = {"eval_loss": 1.93, "eval_p_end": 0.912, "eval_p_end_inside": 0.0021, "eval_stop_rate": 1.0}
    assert log_line(evaluation, 100, 100) == (
        "step 100 · eval loss 1.93 · P(end) 0.91 at the end, 0.0021 inside · 100% of samples stop"
    )
    assert log_line({"something": 1.0}, 1, 2) == ""


def test_a_terminal_without_the_characters_gets_others(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    say("step 1 · loss 2 é")
    sys.stdout.flush()
    assert raw.getvalue() == b"step 1 | loss 2 \\xe9\n"


def test_two_processes_add_their_tokens_up(tiny_model_folder: Path, tmp_path: Path) -> None:
    """Two ranks see 8 rows a step; the share is that of all of them, and rank 0 alone speaks."""
    code = f"""
import json
from pipelines.training.callbacks.logging_callback import add_logging
from pipelines.training.callbacks.samples import SampleAnswersCallback
from tests.training.callbacks.logged_trainers import *
tokenizer = tokenizer_of(Path({str(tiny_model_folder)!r}))
rows, folder = rows_of(tokenizer, 16), Path({str(tmp_path)!r})
trainer = logged_trainer(Path({str(tiny_model_folder)!r}), folder, rows=rows, max_steps=2, logging_steps=2,
                          eval_strategy="steps", eval_steps=2)
trainer.add_callback(SampleAnswersCallback(tokenizer, [rows[0]["input_ids"][:4]], rows, folder, 4))
add_logging(trainer)
trainer.train()
train, evaluation = trainer.state.log_history[:2]
found = train['loss_token_share'], evaluation['eval_p_end']
(folder / f"rank{{trainer.args.process_index}}.json").write_text(json.dumps(found))
"""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {**os.environ, "PYTHONPATH": str(PROJECT), "ACCELERATE_USE_CPU": "true", "WORLD_SIZE": "2",
              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        outputs = [rank.communicate(timeout=120) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], outputs
    said = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert said[0] == said[1]
    n_tokens, n_predicted, _ = hand_counts(rows_of(tokenizer_of(tiny_model_folder), 16))
    assert said[0][0] == pytest.approx(n_predicted / n_tokens, abs=1e-4)
    assert ["step 2/2" in said for said, _ in outputs] == [True, False]
    assert len((tmp_path / "samples.jsonl").read_text().splitlines()) == 1
