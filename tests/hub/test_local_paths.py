"""Absolute paths in records: cut to their last part, and nothing else touched."""

from pathlib import Path

import pytest

from pipelines.hub.local_paths import without_local_paths


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "grete"))
    return tmp_path / "grete"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/home/x/runs/mine", "mine"),
        ("/home/x/my runs/a b", "a b"),
        ("~/runs/mine", "mine"),
        (r"C:\Users\x\runs\mine", "mine"),
        ("/data/rows/", "rows"),
        ("/data/runs/mine/checkpoint-4", "mine/checkpoint-4"),
        ("/data/runs/mine/checkpoint-4-copy", "checkpoint-4-copy"),
        ("runs/mine", "runs/mine"),
        ("me/my-instruct", "me/my-instruct"),
        ("https://huggingface.co/me/x", "https://huggingface.co/me/x"),
        ("/data/x/a.jsonl + org/rows + /y/b.jsonl", "a.jsonl + org/rows + b.jsonl"),
        ("org/rows + /data/x/a.jsonl", "org/rows + a.jsonl"),
        ("1/2 of the rows", "1/2 of the rows"),
        ("#!/usr/bin/env python", "#!/usr/bin/env python"),
        ("/not a path\nbut text", "/not a path\nbut text"),
        ("/", "/"),
        (3, 3),
        (None, None),
    ],
)
def test_a_text_that_is_an_absolute_path_becomes_its_last_part(before, after):
    assert without_local_paths(before) == after


def test_lists_values_and_keys_are_all_looked_at():
    before = {"/a/b": ["/c/d", {"e": "/f/g", "diff": "/h/i"}], "diff": "/h/i"}
    assert without_local_paths(before, but=("diff",)) == {"b": ["d", {"e": "g", "diff": "/h/i"}], "diff": "/h/i"}


def test_a_path_under_the_home_folder_is_cut_within_a_text_too(home):
    before = f"python pipelines/sft.py --config '{home}/my/lora.yaml' --output_dir={home}/runs/mine, and {home}x/y"
    after = f"python pipelines/sft.py --config 'lora.yaml' --output_dir=mine, and {home}x/y"
    assert without_local_paths(before) == after


def test_a_user_whose_home_is_the_root_of_the_disk_has_no_home_to_cut(monkeypatch):
    monkeypatch.setenv("HOME", "/")
    line = "see https://huggingface.co/me/x"
    assert without_local_paths([line, "/data/rows"]) == [line, "rows"]
