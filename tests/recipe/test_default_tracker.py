"""Where nobody names a tracker the metrics go to a folder of this machine, and never at the price of a run."""

import importlib.util
from pathlib import Path

import pytest
from trl import ModelConfig, SFTConfig

from pipelines.recipe import parse_recipe
from pipelines.recipe.arguments import DataArguments


def parsed(folder: Path, *flags: str) -> SFTConfig:
    path = folder / "recipe.yaml"
    path.write_text(f"output_dir: {folder / 'my-run'}\nuse_cpu: true\nbf16: false\n")
    return parse_recipe([DataArguments, SFTConfig, ModelConfig], ["--config", str(path), *flags]).arguments[1]


def test_the_default_is_a_local_trackio_under_the_name_of_the_run_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    training = parsed(tmp_path)
    assert (training.report_to, training.project) == (["trackio"], "my-run")
    assert capsys.readouterr().err == (
        "metrics go to the local trackio (`trackio show --project my-run`); report_to chooses another tracker\n"
    )
    assert parsed(tmp_path, "--project", "other").project == "other"


@pytest.mark.parametrize(("flag", "kept"), [("none", []), ("tensorboard", ["tensorboard"])])
def test_a_tracker_that_is_named_is_taken_without_a_word(tmp_path, capsys, flag, kept):
    assert parsed(tmp_path, "--report_to", flag).report_to == kept
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_written_costs_the_tracker_and_not_the_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "file" / "trackio"))
    assert parsed(tmp_path).report_to == []
    assert "no tracker: trackio cannot write to" in capsys.readouterr().err


def test_without_trackio_there_is_no_tracker_and_no_word(tmp_path, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "trackio" else find(name, *a))
    assert parsed(tmp_path).report_to == []
    assert capsys.readouterr().err == ""


def test_one_rank_speaks(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("RANK", "1")
    parsed(tmp_path)
    assert capsys.readouterr().err == ""
