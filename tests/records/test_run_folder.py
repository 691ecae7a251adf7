"""A run folder is fresh or explicitly resumed, and says from what it was made before the first weight loads."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.files import unfinished
from pipelines.records import open_run, read_record
from pipelines.records.checkpoint import seal_checkpoint
from pipelines.records.failure import how_to_go_on
from tests.conftest import PROJECT


def start(folder: Path, **changes: Any) -> Any:
    options: dict[str, Any] = {"program": "sft", "recipe": {}, "seeds": {"seed": 1}, "resume": False, "writes": True}
    return open_run(folder, **{**options, **changes})


def test_a_run_is_on_disk_as_started_before_anything_else(tmp_path):
    start(tmp_path / "run", recipe={"learning_rate": 1e-4})
    record = read_record(tmp_path / "run" / "run.json")
    assert (record["status"], record["recipe"], record["program"]) == ("started", {"learning_rate": 1e-4}, "sft")
    assert {"python", "torch", "trl"} <= record["versions"].keys()


def test_a_finished_run_keeps_what_was_noted_and_its_wall_time(tmp_path):
    run = start(tmp_path / "run")
    run.note(base={"path": "b"})
    run.finish(metrics={"loss": 1.5})
    record = read_record(tmp_path / "run" / "run.json")
    assert (record["status"], record["base"], record["metrics"]) == ("finished", {"path": "b"}, {"loss": 1.5})
    assert record["seconds_wall"] >= 0


def test_a_finished_run_is_never_overwritten_not_even_by_resume(tmp_path):
    start(tmp_path / "run").finish()
    before = (tmp_path / "run" / "run.json").read_bytes()
    for resume in (False, True):
        with pytest.raises(UserError, match="holds a finished run"):
            start(tmp_path / "run", resume=resume)
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_an_unfinished_run_is_continued_only_when_asked(tmp_path):
    start(tmp_path / "run")
    with pytest.raises(UserError, match="add --resume"):
        start(tmp_path / "run")
    start(tmp_path / "run", resume=True)


def test_what_a_killed_run_left_half_written_is_removed_by_the_next_one(tmp_path):
    for name in (".run.json.ab3_9xyz", ".gitattributes"):
        (tmp_path / name).write_text("{")
    with pytest.raises(UserError, match="unrelated files"):
        start(tmp_path)
    (tmp_path / ".gitattributes").unlink()
    start(tmp_path)
    for name in (".samples.jsonl.ab3_9xyz", ".notes.markdown"):
        (tmp_path / name).write_text("{")
    start(tmp_path, resume=True)
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", ".notes.markdown"}


def test_a_folder_that_another_process_writes_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "_SECONDS_TO_WAIT", 0.2)
    code = (
        "import pathlib\nfrom pipelines.files.unfinished import hold\nhold(pathlib.Path())\nprint(flush=True)\ninput()"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(UserError, match="another process is writing to"):
            start(tmp_path)
        assert list(tmp_path.iterdir()) == []
        other.kill()
    start(tmp_path)


def test_a_leg_with_other_versions_is_told_and_recorded(tmp_path, capsys):
    run = start(tmp_path)
    start(tmp_path, resume=True)
    assert capsys.readouterr().err == ""
    run.note(versions={**run.record["versions"], "torch": "1.0"}, git_commit="abc")
    legs = start(tmp_path, resume=True).legs
    assert legs[-1]["changed"].keys() == {"git_commit", "torch"}
    assert "torch 2" in (said := capsys.readouterr().err)
    assert "(before: 1.0): not the same run to the bit" in said


def test_the_way_to_go_on_is_from_a_checkpoint_that_can_be_resumed_or_another_run(tmp_path):
    run = start(tmp_path / "run")
    assert how_to_go_on(run) == "start again with the same command and --resume"
    model = run.folder / "checkpoint-4"
    model.mkdir()
    (model / "adapter_config.json").write_text("{}")
    seal_checkpoint(model, {}, can_be_resumed=False)
    remedy = f"with --adapter_name_or_path {model} and another --output_dir"
    assert how_to_go_on(run) == (
        f"checkpoint-4 has no optimizer (save_only_model: true): start another run from its weights, {remedy}"
    )
    (run.folder / "checkpoint-2").mkdir()
    seal_checkpoint(run.folder / "checkpoint-2", {})
    assert how_to_go_on(run) == "continue from checkpoint-2 with the same command and --resume"


def test_other_files_are_no_run_to_resume(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="no run to resume"):
        start(tmp_path, resume=True)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="unrelated files"):
        start(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_rank_that_does_not_write_leaves_no_trace(tmp_path):
    run = start(tmp_path / "run", writes=False)
    run.finish()
    assert not (tmp_path / "run").exists()


def test_no_token_reaches_the_record(tmp_path):
    start(tmp_path / "run", recipe={"hub_token": "hf_secret", "eos_token": "</s>"})
    text = (tmp_path / "run" / "run.json").read_text()
    assert "hf_secret" not in text
    assert json.loads(text)["recipe"] == {"eos_token": "</s>"}


def test_an_absent_record_names_the_stage_to_finish(tmp_path):
    with pytest.raises(UserError, match="finish the stage"):
        read_record(tmp_path / "run.json")
