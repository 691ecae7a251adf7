"""A checkpoint is whole if its files are those that were sealed; older ones go only after a newer one is whole."""

import json
from pathlib import Path

import pytest

from pipelines.records.checkpoint import (
    can_be_resumed,
    checkpoint_fault,
    checkpoints_of,
    cost_of_checkpoint,
    remove_checkpoint,
    remove_older_checkpoints,
    seal_checkpoint,
    step_of,
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint-3"
    (folder / "shards").mkdir(parents=True)
    (folder / "optimizer.pt").write_bytes(b"moments")
    (folder / "shards" / "0.bin").write_bytes(b"weights")
    seal_checkpoint(folder, {"n_tokens": 7})
    return folder


def test_a_sealed_checkpoint_is_whole_and_has_its_cost(checkpoint):
    assert checkpoint_fault(checkpoint) is None
    assert cost_of_checkpoint(checkpoint) == {"n_tokens": 7}


def test_every_change_of_a_file_is_named(checkpoint):
    shard = checkpoint / "shards" / "0.bin"
    shard.write_bytes(b"weight")
    assert checkpoint_fault(checkpoint) == "shards/0.bin has 6 of 7 bytes"
    shard.write_bytes(b"Weights")
    assert checkpoint_fault(checkpoint) == "shards/0.bin has changed"
    shard.unlink()
    assert checkpoint_fault(checkpoint) == "no shards/0.bin"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_broken_seal_is_no_seal(checkpoint, content):
    (checkpoint / "checkpoint.json").write_text(content)
    assert checkpoint_fault(checkpoint) == "checkpoint.json is unreadable"
    (checkpoint / "checkpoint.json").unlink()
    assert checkpoint_fault(checkpoint) == "no checkpoint.json, which is written last"


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Checkpoints of steps 1 to 3 and 9; step 10 is of an interrupted run that had come further."""
    for step in (1, 2, 3, 9, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        seal_checkpoint(tmp_path / f"checkpoint-{step}", {})
    for own in ("checkpoint-mine", "checkpoint-best-2"):
        (tmp_path / own).mkdir()
    return tmp_path


def left(folder: Path) -> list[int]:
    assert (folder / "checkpoint-mine").is_dir()
    assert (folder / "checkpoint-best-2").is_dir()  # a copy that the user has made
    return sorted(map(step_of, checkpoints_of(folder)))


@pytest.mark.parametrize(
    ("limit", "best", "steps"),
    [
        (None, None, [1, 2, 3, 9, 10]),
        (0, None, [1, 2, 3, 9, 10]),
        (1, None, [9, 10]),
        (2, None, [3, 9, 10]),
        (2, 1, [1, 9, 10]),
        (1, 1, [1, 9, 10]),
        (9, None, [1, 2, 3, 9, 10]),
    ],
)
def test_older_checkpoints_are_removed_by_their_steps(run_folder, limit, best, steps):
    """Step 10 is not counted, and not removed."""
    remove_older_checkpoints(run_folder / "checkpoint-9", limit, best and str(run_folder / f"checkpoint-{best}"))
    assert left(run_folder) == steps


def test_a_torn_checkpoint_takes_no_place_of_a_whole_one(run_folder):
    (run_folder / "checkpoint-3" / "checkpoint.json").unlink()
    remove_older_checkpoints(run_folder / "checkpoint-9", 2, None)
    assert left(run_folder) == [2, 9, 10]


def test_the_last_checkpoint_that_can_be_resumed_stays(run_folder):
    for step in (3, 9):
        seal_checkpoint(run_folder / f"checkpoint-{step}", {}, can_be_resumed=False)
    remove_older_checkpoints(run_folder / "checkpoint-9", 1, None)
    assert left(run_folder) == [2, 9, 10]


def test_a_seal_from_before_it_said_so_can_be_resumed_with_an_optimizer_alone(checkpoint):
    seal = checkpoint / "checkpoint.json"
    about = {key: value for key, value in json.loads(seal.read_text()).items() if key != "can_be_resumed"}
    seal.write_text(json.dumps(about))
    assert can_be_resumed(checkpoint)
    del about["files"]["optimizer.pt"]
    seal.write_text(json.dumps(about))
    assert not can_be_resumed(checkpoint)


def test_an_interrupted_removal_leaves_no_whole_checkpoint_and_is_finished_later(run_folder, monkeypatch):
    def power_cut(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", power_cut)
    with pytest.raises(KeyboardInterrupt):
        remove_older_checkpoints(run_folder / "checkpoint-9", 3, None)
    monkeypatch.undo()
    assert checkpoint_fault(run_folder / "checkpoint-1") == "no checkpoint.json, which is written last"
    remove_older_checkpoints(run_folder / "checkpoint-9", 3, None)
    assert left(run_folder) == [2, 3, 9, 10]


def test_a_checkpoint_is_written_again_into_an_empty_folder(checkpoint):
    remove_checkpoint(checkpoint)
    assert not checkpoint.exists()
    remove_checkpoint(checkpoint)
