"""trackio keeps a run on this machine: every metric is there, nobody outside is asked, no run is lost to it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers.integrations import TrackioCallback

from pipelines.training.callbacks.local_trackio import LocalTrackio
from pipelines.training.callbacks.logging_callback import add_logging
from tests.conftest import PROJECT
from tests.training.callbacks.logged_trainers import logged_trainer

TRAINING = """
import sys
from pathlib import Path
import huggingface_hub
huggingface_hub.get_token = lambda: "hf_secret"  # someone is logged in, yet the Hub must not be asked
def refuse(*_, **__): raise SystemExit("the network was used")
import socket; socket.getaddrinfo = socket.create_connection = refuse
from pipelines.training.callbacks.logging_callback import add_logging
from tests.training.callbacks.logged_trainers import logged_trainer
trainer = logged_trainer(Path(sys.argv[1]), Path(sys.argv[2]), report_to="trackio", project=sys.argv[3], max_steps=2)
add_logging(trainer)
trainer.train()
trainer.evaluate()
"""

READING = """
import json, sys
from trackio.sqlite_storage import SQLiteStorage as storage
runs = storage.get_runs("demo")
print(json.dumps([len(runs), storage.get_logs("demo", runs[0])], default=str))
"""


def run(code: str, *arguments: str | Path, **variables: str | Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "HF_HUB_OFFLINE": "0"}
    environment |= {name: str(value) for name, value in variables.items()}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done


def test_one_quiet_run_holds_training_and_the_evaluation_after_it(tiny_model_folder, tmp_path):
    done = run(TRAINING, tiny_model_folder, tmp_path / "run", "demo", TRACKIO_DIR=tmp_path / "trackio")
    assert "Trackio" not in done.stdout
    n_runs, logs = json.loads(run(READING, TRACKIO_DIR=tmp_path / "trackio").stdout)
    assert n_runs == 1
    keys = {key for log in logs for key in log}
    assert keys >= {"train/loss", "train/tokens_per_second", "train/loss_token_share", "eval/loss"}
    assert b"hf_secret" not in b"".join(path.read_bytes() for path in (tmp_path / "trackio").rglob("*.db*"))


@pytest.mark.slow
def test_a_resumed_run_repeats_no_step_under_one_name(tiny_model_folder, tmp_path):
    keys = 'max_steps=2, run_name="mine", save_strategy="steps", save_steps=1'
    first = TRAINING.replace("max_steps=2", keys)
    resumed = first.replace("train()", 'train(resume_from_checkpoint=sys.argv[2] + "/checkpoint-1")')
    for code in (first, resumed):
        run(code, tiny_model_folder, tmp_path / "run", "demo", TRACKIO_DIR=tmp_path / "trackio")
    names = json.loads(run(READING.replace("[len(runs), ", "[runs, "), TRACKIO_DIR=tmp_path / "trackio").stdout)[0]
    assert sorted(names) == ["mine", "mine, from step 1"]


def test_a_refused_name_costs_the_tracker_only(tiny_model_folder, tmp_path, capsys):
    trainer = logged_trainer(tiny_model_folder, tmp_path, report_to="trackio", project="registry-x", max_steps=2)
    add_logging(trainer)
    trainer.train()
    said = capsys.readouterr()
    assert said.err.count("trackio: off, because Project name 'registry-x' is not allowed") == 1
    assert "step 2/2" in said.out


def test_a_space_is_left_to_transformers(tiny_model_folder, tmp_path, monkeypatch):
    kinds = []
    for space in ("", "someone/board"):
        monkeypatch.setenv("TRACKIO_SPACE_ID", space)
        trainer = logged_trainer(tiny_model_folder, tmp_path, report_to="trackio")
        add_logging(trainer)
        kinds += [type(one) for one in trainer.callback_handler.callbacks if isinstance(one, TrackioCallback)]
    assert kinds == [LocalTrackio, TrackioCallback]
