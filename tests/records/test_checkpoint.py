"""A checkpoint is whole if its files are those that were sealed; older ones go only after a newer one is whole."""

from pathlib import Path

import pytest

from pipelines.records.checkpoint import (
    checkpoint_fault,
    checkpoints_of,
    cost_of_checkpoint,
    remove_older_checkpoints,
    seal_checkpoint,
    unseal_checkpoint,
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
    unseal_checkpoint(checkpoint)
    assert checkpoint_fault(checkpoint) == "no checkpoint.json, which is written last"


@pytest.mark.parametrize(
    ("limit", "best", "left"),
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
def test_older_checkpoints_are_removed_by_their_steps(tmp_path, limit, best, left):
    """Step 10 is of an interrupted run that had come further: it is not counted, and not removed."""
    for step in (1, 2, 3, 9, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-mine").mkdir()
    remove_older_checkpoints(tmp_path / "checkpoint-9", limit, best and str(tmp_path / f"checkpoint-{best}"))
    assert sorted(int(path.name[11:]) for path in checkpoints_of(tmp_path) if path.name != "checkpoint-mine") == left
    assert (tmp_path / "checkpoint-mine").is_dir()
