"""The training rows of highest loss, with their texts where the dataset is still what it was."""

from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from pipelines.report import write_report
from pipelines.report.training_rows import HardRow, hardest_rows
from tests.report.conftest import Page
from tests.report.samples.sample_records import write_json, write_lines
from tests.report.samples.sample_run_records import run

HOSTILE = "</pre><script>alert(1)</script>\u202e"


def rows(n: int) -> list[dict[str, Any]]:
    return [{"instruction": f"Say {number}.", "input": "", "output": HOSTILE * (number == 7)} for number in range(n)]


def write_losses(folder: Path, losses: list[float], n_rows: int | None = None, **dataset: Any) -> dict[str, Any]:
    """A run folder with row_losses.parquet, and a dataset of as many rows; returns its run.json."""
    columns = {
        "row": list(range(len(losses))), "source": ["a.jsonl"] * len(losses), "source_row": list(range(len(losses))),
        "loss": losses, "n_tokens": [12] * len(losses),
    }  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "row_losses.parquet")
    write_lines(folder / "rows.jsonl", rows(n_rows or len(losses)))
    facts = {"path": str(folder / "rows.jsonl"), "n_rows": len(losses)}
    record = run() | {"dataset": facts | dataset}
    write_json(folder / "run.json", record)
    return record


def test_the_ten_rows_of_highest_loss_come_with_their_texts(tmp_path):
    found = hardest_rows(tmp_path, write_losses(tmp_path, [float(number % 8) for number in range(40)]))
    assert [one.row for one in found[:5]] == ["7", "15", "23", "31", "39"]
    assert len(found) == 10
    assert (found[0].loss, found[0].n_tokens, found[0].source) == ("7.000", "12", "a.jsonl, row 7")
    assert found[0].text is not None
    assert found[0].text.text.startswith("instruction: Say 7.\noutput: </pre><script>")


def test_a_loss_that_is_no_number_is_left_out(tmp_path):
    found = hardest_rows(tmp_path, write_losses(tmp_path, [1.0, float("nan"), float("inf"), 2.0]))
    assert [one.row for one in found] == ["3", "0"]


@pytest.mark.parametrize(
    ("n_rows", "dataset"),
    [(5, {}), (4, {"path": "/nowhere/rows.jsonl"}), (4, {"path": "a.jsonl + b.jsonl"}), (4, {"path": None})],
)
def test_texts_are_left_out_where_the_dataset_is_another_one(tmp_path, n_rows, dataset):
    found: list[HardRow] = hardest_rows(tmp_path, write_losses(tmp_path, [1.0, 2.0, 3.0, 4.0], n_rows, **dataset))
    assert [one.text for one in found] == [None] * 4


def test_they_are_on_the_page_as_text(few, tmp_path):
    write_losses(tmp_path, [float(number) for number in range(8)])
    page = Page(write_report(few, tmp_path)[0].read_text())
    assert page.text.index("Row 7: loss 7.000 over 12 tokens a.jsonl, row 7") < page.text.index("Row 6: loss 6.000")
    assert "instruction: Say 7.\noutput: </pre><script>alert(1)</script>⟨U+202E⟩" in page.texts["code"]
    assert page.mistakes == []
    assert str(tmp_path) not in page.source


def test_a_sample_of_the_rows_is_called_one(few, tmp_path):
    record = write_losses(tmp_path, [1.0, 2.0])
    write_json(tmp_path / "run.json", record | {"row_losses": {"n_rows": 2, "n_rows_trained": 3_000}})
    page = Page(write_report(few, tmp_path)[0].read_text())
    assert "row_losses.parquet in the run folder has a sample of 2 of 3,000 rows." in page.text


def test_without_the_file_there_is_no_section(few, tmp_path):
    write_json(tmp_path / "run.json", run())
    assert "Training rows with the highest loss" not in write_report(few, tmp_path)[0].read_text()
