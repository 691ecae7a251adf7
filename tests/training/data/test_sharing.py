"""Tokenized rows for several machines do not depend on files of the first."""

import pickle

import pytest
from datasets import Dataset

from pipelines.training.data import sharing
from pipelines.training.data.ledger import Ledger


@pytest.mark.parametrize(("several_machines", "needs_the_file"), [(False, True), (True, False)])
def test_rows_leave_the_machine_without_a_file(tmp_path, monkeypatch, several_machines, needs_the_file):
    monkeypatch.setattr(sharing, "_has_several_machines", lambda: several_machines)
    path = str(tmp_path / "rows.arrow")
    mapped = Dataset.from_dict({"input_ids": [[1], [2, 3], [4]]}).map(dict, cache_file_name=path).select([0, 2])
    train, _, held_out = sharing.tokenized_once(lambda: (mapped, Ledger(), None))
    assert (path.encode() in pickle.dumps(train)) is needs_the_file
    assert train["input_ids"][:] == [[1], [4]]
    assert held_out is None


@pytest.mark.parametrize(("n_here", "n_all", "several"), [("2", "2", False), ("2", "4", True), (None, None, False)])
def test_machines_are_told_from_processes(monkeypatch, n_here, n_all, several):
    for name, value in (("LOCAL_WORLD_SIZE", n_here), ("WORLD_SIZE", n_all)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    assert sharing._has_several_machines() is several
