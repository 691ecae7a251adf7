"""Every log says what the step cost: tokens counted to the last one, time without evaluation, one line to read."""

import io
import sys
from types import SimpleNamespace
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
from tests.run_files import read_json, read_jsonl
from tests.training.callbacks.logged_trainers import logged_trainer, rows_of, tokenizer_of

Capture = pytest.CaptureFixture[str]


class WatchedDPOTrainer(ThroughputLogging, DPOTrainer):
    pass


def hand_counts(rows: Any) -> list[int]:
    """Tokens, predicted tokens, squared lengths; a label at place 0 has nothing before it and is not predicted."""
    lengths = [len(row["input_ids"]) for row in rows]
    return [sum(lengths), sum(label != -100 for row in rows for label in row["labels"][1:]), sum(n**2 for n in lengths)]


def counted(trainer: Any) -> list[int]:
    """All counts of one epoch of a trainer that never logged."""
    trainer.train()
    return trainer.throughput.close_window()[0].tolist()


@pytest.mark.parametrize(
    "options", [{}, {"gradient_accumulation_steps": 2}, {"padding_free": True}, {"packing": True, "max_length": 48}]
)
@pytest.mark.parametrize("in_full", [False, True])
def test_tokens_are_counted_exactly(tiny_model_folder, tmp_path, options, in_full):
    rows = rows_of(tokenizer_of(tiny_model_folder), 15)
    if in_full:  # the first token of a row is never predicted
        rows = rows.map(lambda row: {"labels": row["input_ids"]})
    options = {"logging_strategy": "no", "max_steps": -1, "num_train_epochs": 1, **options}
    counts = counted(logged_trainer(tiny_model_folder, tmp_path, rows=rows, **options))
    assert counts == hand_counts(rows)
    assert not in_full or counts[0] - counts[1] == 15


def test_both_answers_of_preference_pairs_are_counted(tiny_model_folder, tmp_path):
    tokenizer = tokenizer_of(tiny_model_folder)
    pairs = [{"prompt": f"number {n} is ", "chosen": "x" * (n + 1), "rejected": "no"} for n in range(6)]
    args = DPOConfig(output_dir=str(tmp_path), num_train_epochs=1, per_device_train_batch_size=4, use_cpu=True,
                     bf16=False, report_to="none", logging_strategy="no", save_strategy="no")  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    trainer = WatchedDPOTrainer(model, args=args, train_dataset=Dataset.from_list(pairs), processing_class=tokenizer)
    sides = [(pair["prompt"], pair[side]) for pair in pairs for side in ("chosen", "rejected")]
    n_tokens = [[len(ids) for ids in tokenizer(side)["input_ids"]] for side in sides]
    whole = [n_prompt + n_answer + 1 for n_prompt, n_answer in n_tokens]  # the end token is one of them
    answers = [n_answer + 1 for _, n_answer in n_tokens]
    assert counted(trainer) == [sum(whole), sum(answers), sum(n * n for n in whole)]
    assert trainer._has_reference_pass


def test_blocks_without_a_mask_are_all_tokens():
    ids = torch.arange(12).reshape(2, 6)
    assert batch_counts({"input_ids": ids, "labels": ids}).tolist() == [12, 10, 72]


def test_each_log_has_throughput_and_mfu(tiny_model_folder, tmp_path, monkeypatch):
    rows = rows_of(tokenizer_of(tiny_model_folder), 16)
    trainer = logged_trainer(tiny_model_folder, tmp_path, rows=rows, logging_steps=4)
    trainer.train()
    trainer.save_state()
    log = read_json(tmp_path / "trainer_state.json")["log_history"][0]
    added = {"tokens_per_second", "loss_token_share", "tflops_per_second", "peak_memory_gib", "seconds_left"}
    assert log.keys() > added
    assert "mfu" not in log  # a CPU's peak is not known
    n_tokens, n_predicted, _ = hand_counts(rows)
    assert log["loss_token_share"] == pytest.approx(n_predicted / n_tokens, abs=1e-4)
    assert log["tokens_per_second"] > log["seconds_left"] == 0
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H200")
    monkeypatch.setattr(type(trainer.args), "device", torch.device("cuda"))
    found = trainer._utilization(10**9, 10**9, 10**9, 1.0)
    assert found["mfu"] == pytest.approx(found["tflops_per_second"] / 989, abs=1e-4)
    assert found["mfu"] > 0


BATCH = {"input_ids": torch.ones(1, 4).long(), "labels": torch.ones(1, 4).long()}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A clock that the test sets, in place of the module `time`."""
    clock = SimpleNamespace(seconds=0.0, perf_counter=lambda: clock.seconds)
    monkeypatch.setattr("pipelines.training.callbacks.throughput.time", clock)
    return clock


def test_the_time_left_falls_and_counts_the_steps_of_this_process_only(clock):
    meter = ThroughputMeter()
    assert meter.seconds_left(0, 10) is None
    left = []
    for step in range(100, 104):  # resumed at step 100
        meter.count(BATCH, step)
        clock.seconds += 20 if step == 100 else 2  # the first step is slow
        left.append(meter.seconds_left(step + 1, 110))
    assert left[1:] == [16, 14, 12]


def test_evaluation_is_no_training_time_but_is_waited_for(clock):
    meter = ThroughputMeter()
    for step in range(2):
        meter.count(BATCH, step)
    with meter.paused(), meter.paused():
        assert meter.is_paused
        clock.seconds += 30
    assert not meter.is_paused
    counts, seconds = meter.close_window()
    assert (counts.tolist()[0], seconds, meter.close_window()[0]) == (8, 0, None)
    assert meter.seconds_left(2, 4) == 30


def test_lines_replace_the_printed_dicts(tiny_model_folder, tmp_path, capsys):
    trainer = logged_trainer(tiny_model_folder, tmp_path, eval_strategy="steps", eval_steps=2)
    add_logging(trainer)
    add_logging(trainer)
    trainer.train()
    lines = capsys.readouterr().out.splitlines()
    kinds = [type(callback) for callback in trainer.callback_handler.callbacks]
    assert (kinds.count(LoggingCallback), kinds.count(PrinterCallback)) == (1, 0)
    said = [line.split(" ·")[0].partition(" in ")[0] for line in lines]
    assert said == ["step 1/4", "step 2/4", "step 2", "step 3/4", "step 4/4", "step 4", "trained to step 4"]
    assert "% in loss" in lines[0]


def test_progress_bars_stay_without_dicts(tiny_model_folder, tmp_path, capsys):
    trainer = logged_trainer(tiny_model_folder, tmp_path, disable_tqdm=False)
    add_logging(trainer)
    trainer.train()
    said = capsys.readouterr()
    assert "4/4" in said.err
    assert "{" not in said.out + said.err
    assert sum(isinstance(callback, ProgressCallback) for callback in trainer.callback_handler.callbacks) == 1


def test_a_line_is_short_and_a_broken_gradient_is_loud():
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


def test_a_terminal_without_the_characters_gets_others(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    say("step 1 · loss 2 é")
    sys.stdout.flush()
    assert raw.getvalue() == b"step 1 | loss 2 \\xe9\n"


def test_two_processes_add_their_tokens_up(tiny_model_folder, tmp_path, run_cli):
    """Two ranks see 8 rows a step; the share is that of all of them, and rank 0 alone prints."""
    (tmp_path / "script.py").write_text(f"""
import json, sys
sys.path.insert(0, {str(PROJECT)!r})
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
""")
    done = run_cli(tmp_path / "script.py", n_processes=2)
    first, second = (read_json(tmp_path / f"rank{rank}.json") for rank in range(2))
    assert first == second
    n_tokens, n_predicted, _ = hand_counts(rows_of(tokenizer_of(tiny_model_folder), 16))
    assert first[0] == pytest.approx(n_predicted / n_tokens, abs=1e-4)
    assert done.stdout.count("step 2/2") == 1
    assert len(read_jsonl(tmp_path / "samples.jsonl")) == 1
