"""The first pass in several processes: an interrupted one ends at once, whatever its processes do."""

import os
import threading
from pathlib import Path

import pytest

from data_prep.building.job import Job
from data_prep.building.reading import NumberedUnit, read_units
from data_prep.dataset_folder import DatasetKind
from data_prep.sources import ReadOptions, Unit

KIND = DatasetKind.CORPUS


def document(number: int, path: Path) -> NumberedUnit:
    return number, 0, Unit("texts", path.parent, (path,), path.name, "text_tree")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_processes_in_the_middle_of_a_file_end_when_the_reading_is_stopped(tmp_path):
    (tmp_path / "first.txt").write_text("A whole text.")
    os.mkfifo(tmp_path / "never.txt")  # whoever reads it waits for ever
    units = [document(0, tmp_path / "first.txt"), *(document(n, tmp_path / "never.txt") for n in (1, 2))]
    (tmp_path / "work").mkdir()
    results = read_units(units, Job((ReadOptions(KIND),), (), 0, tmp_path / "work"), 2)
    assert next(results).n_read == 1
    stopped = threading.Thread(target=results.close, daemon=True)
    stopped.start()
    stopped.join(timeout=20)
    assert not stopped.is_alive()
