"""The dataset card: what a reader of the Hub sees, and what `load_dataset` makes of it."""

import json
import re

import datasets
import pyarrow.parquet
import pytest
from huggingface_hub import metadata_load

from data_prep.dataset_folder import summary
from data_prep.dataset_folder.card import dataset_card, example_rows, without_local_paths, write_card
from data_prep.dataset_folder.lengths import LengthCounts
from tests.data_prep.dataset_folder.test_folder import ROWS, write

HOSTILE = 'x | y</td><script>alert(1)</script> ``` \u202e "quoted" `tick`\n# heading'


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "out", licenses=["mit"])
    return tmp_path / "out"


def manifest_of(folder):
    counts = LengthCounts()
    for row in ROWS:
        counts.add_row(row)
    more = {
        "lengths": counts.to_json(),
        "steps": ["mojibake", {"length": {"max_characters": 2000}}],
        "n_changed": {"mojibake": {"texts": 3}},
        "rejected_by_step": {"length": 7},
        "rejected_by_source": {"toy": {"duplicate": 1}, "other": {"too_long": 7}},
        "n_read": 42,
    }
    return {**json.loads((folder / "manifest.json").read_text()), **more}


def test_the_metadata_is_what_the_hub_reads(folder):
    metadata = metadata_load(folder / "README.md") or {}
    assert metadata["license"] == "mit"
    assert metadata["size_categories"] == ["n<1K"]
    assert metadata["task_categories"] == ["text-generation"]
    [config] = metadata["configs"]
    assert config["data_files"][0] == {"split": "train", "path": "data/train-*"}


def test_the_card_counts_rows_groups_lengths_rejects_and_changes(folder):
    text = dataset_card(manifest_of(folder), "Toy set")
    assert re.search(r"\| train \| \d+ \| \d+ \| \d+\.\d \|", text)
    assert "| max | 7 | 22 |" in text
    assert "| 4-7 | ████████████ 100.0% |" in text
    assert "| `mojibake` |  | texts 3 |  |" in text
    assert "| `length` | `max_characters: 2000` |  | 7 |" in text
    assert "| other | too\\_long | 7 |" in text
    assert "| toy |  | mit | sha256 `0000" in text


def test_the_languages_that_a_step_kept_are_in_the_metadata(folder, tmp_path):
    manifest = {**manifest_of(folder), "steps": [{"language": {"keep": ["en", "de"]}}]}
    (tmp_path / "README.md").write_text(dataset_card(manifest, "x"))
    assert (metadata_load(tmp_path / "README.md") or {})["language"] == ["en", "de"]
    assert "language" not in (metadata_load(folder / "README.md") or {})


def test_three_rows_are_shown_and_the_seed_chooses_them(folder):
    first = (folder / "README.md").read_text()
    assert len(re.findall(r"^\*\*\d\.\*\*", first, re.MULTILINE)) == 3
    manifest = json.loads((folder / "manifest.json").read_text())
    write_card(folder, manifest, "out")
    assert (folder / "README.md").read_text() == first
    places = [[row["source_row"] for row in example_rows(folder, {**manifest, "seed": seed})] for seed in (0, 1)]
    assert places[0] != places[1]


def test_texts_of_rows_and_names_cannot_break_the_card(folder):
    rows = [{"instruction": HOSTILE, "output": HOSTILE * 9, "source": HOSTILE, "source_row": "1", "group": "g"}]
    manifest = {**manifest_of(folder), "sources": [{"name": HOSTILE}], "n_rejected": {HOSTILE: 1}}
    text = dataset_card(manifest, HOSTILE, rows)
    fences = re.findall(r"^(````+)text$", text, re.MULTILINE)
    outside = re.sub(r"^(````+)text\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert len(fences) == 2
    assert "<script>" not in outside.partition("\n---\n")[2]
    assert "\u202e" not in text
    assert "more characters)" in text
    assert len(re.findall(r"^# ", outside, re.MULTILINE)) == 1
    (folder / "README.md").write_text(text)
    assert (metadata_load(folder / "README.md") or {})["pretty_name"] == HOSTILE


def test_messages_and_tool_calls_are_shown_by_role(folder):
    call = {"type": "function", "function": {"name": "now", "arguments": {"zone": "CET"}}}
    said = [{"role": "user", "content": "what time?"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    row = {"messages": said * 4, "tools": [{"name": "now"}], "source": "s", "source_row": "1", "group": "g"}
    text = dataset_card(manifest_of(folder), "x", [row])
    assert "\nuser:\n\n```text\nwhat time?\n```" in text
    assert '"zone": "CET"' in text
    assert "messages, 2 more messages:" in text


def test_load_dataset_opens_a_folder_with_several_files_for_a_split(folder, tmp_path):
    whole = folder / "data" / "train-00000-of-00001.parquet"
    table = pyarrow.parquet.read_table(whole)
    whole.unlink()
    half = len(table) // 2
    for number, part in enumerate((table.slice(0, half), table.slice(half))):
        pyarrow.parquet.write_table(part, folder / "data" / f"train-0000{number}-of-00002.parquet")
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].to_list() == table.to_pylist()


def test_the_card_names_no_folder_of_this_machine(folder):
    manifest = {**manifest_of(folder), "command": "python data_prep/build_corpus.py --source /data/team/rows.txt"}
    assert "/data/team" not in dataset_card(manifest, "x")


def test_the_command_names_no_folder_of_this_machine():
    command = "python data_prep/build_corpus.py --source /data/team/my rows.txt --held_out=/srv/x/eval --output out/x"
    quoted = command.replace("/data/team/my rows.txt", "'/data/team/my rows.txt'")
    assert without_local_paths(quoted) == (
        "python data_prep/build_corpus.py --source 'my rows.txt' --held_out=eval --output out/x"
    )
    assert without_local_paths(r"x --source C:\\rows\\a.csv").endswith("--source a.csv")


def test_the_summary_tells_what_cleaning_changed_and_how_to_look_at_it(folder):
    text = summary(manifest_of(folder), folder)
    assert text.endswith(f"python data_prep/inspect_dataset.py {folder}")
    assert "mojibake                   texts 3" in text
    assert "changed" not in summary(json.loads((folder / "manifest.json").read_text()), folder)
