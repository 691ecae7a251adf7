"""Formats are recognized, named in the manifest and in the manual."""

import json
from pathlib import Path

from data_prep.dataset_folder import DatasetKind
from data_prep.sources.formats import FILE_FORMATS
from data_prep.sources.planning import plan_source
from data_prep.sources.row_formats.named_columns import NAMED_COLUMNS
from data_prep.sources.row_formats.registry import FOREIGN_FORMATS
from data_prep.sources.units import ReadOptions

PROJECT = Path(__file__).resolve().parents[4]
ROWS = [
    {"prompt": "Name a fruit.", "completion": answer, "label": answer == "A pear."} for answer in ("A pear.", "No.")
]


def test_a_recognized_format_is_printed_and_in_the_manifest(tmp_path, capsys):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    plan = plan_source(str(tmp_path), ReadOptions(DatasetKind.INSTRUCTIONS), "rows")
    assert len(list(plan.units)) == 2
    assert plan.entry["row_formats"] == ["kto"]
    assert capsys.readouterr().err.count("a.jsonl: read as kto (prompt or messages, completion, and a label") == 1


def test_the_manual_names_every_format():
    manual = (PROJECT / "data_prep" / "README.md").read_text()
    own = {one.name for one in NAMED_COLUMNS}
    assert [name for name in FOREIGN_FORMATS if name not in own and f"`{name}`" not in manual] == []
    assert [name for name in FILE_FORMATS if f"`{name}`" not in manual] == []
