import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import datasets
import pyarrow
import pytest
from huggingface_hub import metadata_load

from data_prep.dataset_folder import (
    DatasetKind,
    Manifest,
    RejectedRow,
    SplitFiles,
    SplitSizes,
    is_dataset_folder,
    read_dataset_folder,
    read_manifest,
    read_rows,
    summary,
    table_of,
    text_array,
    write_dataset_folder,
)
from pipelines.errors import UserError

ROWS = [
    {
        "instruction": f"Say {number}.",
        "input": "",
        "output": f"« {number} » <|im_end|> \\n \u2028",
        "source": "toy",
        "source_row": str(number),
        "group": f"g{number // 2}",
    }
    for number in range(40)
]


def write(
    output: Path,
    rows: list[dict[str, str]] = ROWS,
    overwrite: bool = False,
    sizes: SplitSizes | None = None,
    licenses: Sequence[str] = (),
) -> Manifest:
    return write_dataset_folder(
        output,
        rows,
        kind=DatasetKind.INSTRUCTIONS,
        split_sizes=sizes or SplitSizes(0.2, 0.2),
        seed=0,
        sources=[{"name": "toy", "sha256": "0" * 64}],
        rejected=[
            RejectedRow("toy", "41", "empty_output", {"instruction": "x"}),
            RejectedRow("toy", "42", "duplicate"),
        ],
        command="python data_prep/build_instructions.py --source 'a b'",
        licenses=licenses,
        overwrite=overwrite,
    )


def test_every_row_comes_back_once_and_groups_stay_together(tmp_path):
    write(tmp_path / "out")
    back = {split: read_dataset_folder(tmp_path / "out", split).to_list() for split in ("train", "validation", "test")}
    assert sorted((row for rows in back.values() for row in rows), key=lambda r: int(r["source_row"])) == ROWS
    groups = [{row["group"] for row in rows} for rows in back.values()]
    assert all(groups)
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]


def test_load_dataset_reads_the_folder_as_it_is(tmp_path):
    write(tmp_path / 'it\'s "odd"')
    loaded = datasets.load_dataset(str(tmp_path / 'it\'s "odd"'), cache_dir=str(tmp_path / "cache"))
    assert {split: rows.num_rows for split, rows in loaded.items()} == read_manifest(tmp_path / 'it\'s "odd"')["n_rows"]
    assert loaded["test"].to_list() == read_dataset_folder(tmp_path / 'it\'s "odd"', "test").to_list()


def test_load_dataset_reads_a_folder_without_held_out_splits(tmp_path):
    write(tmp_path / "out", sizes=SplitSizes(0.0, 0.0))
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"]
    assert loaded["train"].num_rows == len(ROWS)


def test_the_manifest_counts_rows_and_rejects_and_names_sources(tmp_path):
    manifest = write(tmp_path / "out")
    assert manifest == read_manifest(tmp_path / "out")
    assert sum(manifest["n_rows"].values()) == 40
    assert sum(manifest["n_groups"].values()) == 20
    assert manifest["n_rejected"] == {"duplicate": 1, "empty_output": 1}
    assert manifest["sources"] == [{"name": "toy", "sha256": "0" * 64}]
    assert set(manifest["versions"]) >= {"python", "datasets", "pyarrow"}
    lines = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert lines[0] == {"source": "toy", "source_row": "41", "reason": "empty_output", "row": {"instruction": "x"}}
    assert lines[1] == {"source": "toy", "source_row": "42", "reason": "duplicate"}


def test_the_content_hash_follows_the_rows_and_nothing_else(tmp_path):
    first = write(tmp_path / "a")["content_sha256"]
    assert write(tmp_path / "b")["content_sha256"] == first
    changed = [{**row, "output": row["output"] + "."} if row["source_row"] == "3" else row for row in ROWS]
    other = write(tmp_path / "c", changed)["content_sha256"]
    assert sum(first[split] != other[split] for split in first) == 1


def test_the_fingerprint_of_a_split_is_its_content_hash(tmp_path):
    manifest = write(tmp_path / "out")
    assert manifest["content_sha256"]["train"].startswith(read_dataset_folder(tmp_path / "out", "train")._fingerprint)


def test_files_are_never_overwritten_unasked(tmp_path):
    write(tmp_path / "out")
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    with pytest.raises(UserError, match="is not empty; choose another --output or add --overwrite"):
        write(tmp_path / "out", ROWS[:10])
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before
    write(tmp_path / "out", ROWS[:10], overwrite=True)
    assert sum(read_manifest(tmp_path / "out")["n_rows"].values()) == 10


def test_overwrite_replaces_dataset_folders_only(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"--overwrite replaces only folders with manifest.json"):
        write(tmp_path / "home", overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="exists; choose another"):
        write(tmp_path / "file", overwrite=True)
    assert (tmp_path / "home" / "thesis.tex").exists()
    assert (tmp_path / "file").exists()


def test_a_write_that_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write(tmp_path / "out", [*ROWS, {**ROWS[0], "output": "\ud800"}])
    assert list(tmp_path.iterdir()) == []


def test_no_row_at_all_is_an_error_that_counts_the_reasons(tmp_path):
    with pytest.raises(UserError, match=r"usable row.*1 rejected as duplicate, 1 rejected as empty_output"):
        write(tmp_path / "out", [])
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_manifest_is_no_dataset_folder(tmp_path):
    write(tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    assert not is_dataset_folder(tmp_path / "out")
    with pytest.raises(UserError, match=r"has no manifest.json"):
        read_dataset_folder(tmp_path / "out", "train")
    with pytest.raises(UserError, match="does not exist"):
        read_manifest(tmp_path / "nowhere")


def test_a_manifest_of_something_else_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(UserError, match="is not a dataset manifest"):
        read_manifest(tmp_path)


def test_an_unknown_and_an_empty_split_are_refused_with_the_splits_there_are(tmp_path):
    write(tmp_path / "out", sizes=SplitSizes(0.0, 0.2))
    with pytest.raises(UserError, match=r"has no split 'dev'; choose train \(\d+ rows\), test \(\d+ rows\)"):
        read_dataset_folder(tmp_path / "out", "dev")
    with pytest.raises(UserError, match=r"the split 'validation' of .* is empty"):
        read_dataset_folder(tmp_path / "out", "validation")


def test_a_damaged_folder_is_refused(tmp_path):
    write(tmp_path / "out")
    parquet = {split: tmp_path / "out" / "data" / f"{split}-00000-of-00001.parquet" for split in ("train", "test")}
    parquet["train"].write_bytes(parquet["test"].read_bytes())
    with pytest.raises(UserError, match="as in the manifest"):
        read_dataset_folder(tmp_path / "out", "train")
    parquet["train"].write_bytes(b"not parquet")
    with pytest.raises(UserError, match="is not a Parquet file"):
        read_dataset_folder(tmp_path / "out", "train")
    parquet["train"].unlink()
    with pytest.raises(UserError, match="are missing"):
        read_dataset_folder(tmp_path / "out", "train")


def test_read_rows_takes_a_dataset_folder_and_a_file(tmp_path):
    write(tmp_path / "out")
    assert read_rows(tmp_path / "out", "test") == read_dataset_folder(tmp_path / "out", "test").to_list()
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Hi"}\n')
    assert read_rows(tmp_path / "prompts.jsonl") == [{"prompt": "Hi"}]


def test_read_rows_refuses_what_holds_no_rows(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(UserError, match=r"empty\.jsonl has no rows"):
        read_rows(tmp_path / "empty.jsonl")
    with pytest.raises(UserError, match=r"notes\.docx does not exist"):
        read_rows(tmp_path / "notes.docx")
    with pytest.raises(UserError, match="is not a dataset folder or a file ending in"):
        read_rows(tmp_path)


def test_the_summary_says_when_a_wanted_split_stayed_empty(tmp_path):
    text = summary(write(tmp_path / "out", ROWS[:2]), tmp_path / "out")
    assert "validation and test have no rows: too few groups (1)" in text
    assert "stayed empty" not in summary(write(tmp_path / "more"), tmp_path / "more")


@pytest.mark.parametrize(
    ("licenses", "stated"), [([], None), (["mit"], "mit"), (["mit", "cc-by-4.0"], ["mit", "cc-by-4.0"])]
)
def test_the_card_has_the_licence_where_the_hub_looks_for_it(tmp_path, licenses, stated):
    assert write(tmp_path / "out", licenses=licenses)["licenses"] == licenses
    assert (metadata_load(tmp_path / "out" / "README.md") or {}).get("license") == stated


def test_rows_above_a_tenth_of_a_held_out_split_are_rejected_by_name_and_counted(tmp_path):
    rows = [
        {"instruction": f"Say {group} {number}.", "input": "", "output": "x", "source": "toy",
         "source_row": f"{group}:{number}", "group": f"module {group}"}
        for group in range(200)
        for number in range(400 if group % 10 == 0 else 3)
    ]  # fmt: skip
    manifest = write(tmp_path / "out", rows)
    rejected = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    over = {one["source_row"] for one in rejected if one["reason"] == "over_group_limit"}
    assert manifest["n_rejected"]["over_group_limit"] == len(over) > 0
    assert sum(manifest["n_rows"].values()) + len(over) == len(rows)
    back = {split: read_rows(tmp_path / "out", split) for split in ("train", "validation", "test")}
    for split in ("validation", "test"):
        sizes = [sum(row["group"] == group for row in back[split]) for group in {row["group"] for row in back[split]}]
        assert max(sizes) <= sum(sizes) / 10
        assert manifest["effective_groups"][split] == round(sum(sizes) ** 2 / sum(size**2 for size in sizes), 1)
        assert f"groups, {manifest['effective_groups'][split]} effective" in summary(manifest, tmp_path / "out")
    trained = {row["group"] for row in back["train"]}
    assert not trained & {f"module {name.split(':')[0]}" for name in over}, "a held-out group stays out of training"


def test_the_types_written_are_those_of_datasets():
    features = datasets.Features({"text": datasets.Value("large_string"), "tools": datasets.Json()})
    table = table_of([{"text": "a", "tools": [1]}], ["text", "tools"], ["tools"])
    assert table.schema.metadata == features.arrow_schema.metadata
    assert list(map(str, table.schema.types)) == list(map(str, features.arrow_schema.types))


def test_texts_become_the_array_that_pyarrow_makes_of_them():
    texts = ["", "a", None, "h\u00e9", "\U0001f600", None, "b" * 300, *["x"] * 20]
    for values in ([], ["a"], [None], texts):
        assert text_array(values).equals(pyarrow.array(values, pyarrow.large_string()))
        text_array(values).validate(full=True)


def test_the_content_hash_is_of_json_lines(tmp_path):
    rows = [{"text": "\u00e9\n\"", "tools": [{"b": 1.5, "a": None}], "source": "s", "group": "g", "source_row": "1"},
            {"text": "x", "source": "s", "source_row": "2", "group": "h"}]  # fmt: skip
    columns = ["text", "tools", "source", "source_row", "group"]
    with SplitFiles(tmp_path, "train", columns, ["tools"]) as files:
        files.add_rows(rows)
    lines = "".join(json.dumps([row.get(name) for name in columns]) + "\n" for row in rows)
    assert files.content_sha256() == hashlib.sha256(lines.encode()).hexdigest()
