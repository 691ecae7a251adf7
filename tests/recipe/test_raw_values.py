"""YAML without surprises: what a person would misread is refused with its line."""

from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.recipe.raw_values import as_values, read_raw_values


def read(folder: Path, text: str | bytes) -> dict[str, object]:
    path = folder / "recipe.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return as_values(read_raw_values(["--config", str(path)])[1])


@pytest.mark.parametrize(("text", "problem"), [
    ("a: 1\nb: 2\na: 3\n", "has `a` on lines 1 and 3"), ("a:\n  b: 1\n  b: 2\n", "on lines 2 and 3; "),
    ("datasets:\n- path: x\n  split: a\n  split: b\n", "on lines 3 and 4; "), ("", "is empty"),
    ("# only a comment\n", "is empty"), ("- a\n- b\n", "is a list"), ("just text\n", "is a str"),
    ("learning_rate:1e-4\n", "write a space after each colon"),
    ("run_name: @me\n", "text with special characters needs quotes"),
    ("run_name: a: b\n", "text with special characters needs quotes"),
    ("a: 1\n---\nb: 2\n", "write one recipe in a file"), ("a:\n\tb: 1\n", "indent with spaces"),
    ("a: !!python/object/apply:os.system [ls]\n", "remove the tag"), ("a: !!python/name:os.system\n", "remove the tag"),
    ("a: [1\n", "on line 2"), ("a: 'text\n", "is not valid YAML"),
    ("a: *unknown\n", "undefined alias 'unknown' on line 1"), ("? [a]\n: 1\n", "unhashable key on line 1"),
])  # fmt: skip
def test_what_is_no_plain_mapping_is_refused(text, problem, tmp_path):
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (b"\xef\xbb\xbfa: 1\r\nb: x\r\n", {"a": 1, "b": "x"}),  # byte order mark, Windows line ends
        ("all: &all {a: 1, b: 2}\nc: *all\n", {"all": {"a": 1, "b": 2}, "c": {"a": 1, "b": 2}}),
        ("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n", {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}}),
        ("a: 1e-4\nb: 012\nc: 12:30\nd: 2024-01-01\n", {"a": 1e-4, "b": "012", "c": "12:30", "d": "2024-01-01"}),
        ("größe: 1\non: 2\n", {"größe": 1, "on": 2}),
        ('{"a": 1, "b": [true]}', {"a": 1, "b": [True]}),
    ],
)
def test_plain_yaml_is_read(text, keys, tmp_path):
    assert read(tmp_path, text) == keys


def test_a_merged_key_at_the_top_is_a_key(tmp_path):
    assert read(tmp_path, "env: &e {seed: 1, max_steps: 2}\n<<: *e\nseed: 3\n") == {
        "env": {"seed": 1, "max_steps": 2}, "seed": 3, "max_steps": 2,
    }  # fmt: skip


def test_words_that_are_neither_key_nor_value_are_returned():
    path, keys, problems = read_raw_values(["stray", "--lora_r", "4", "--config"])
    assert (path, as_values(keys)) == (None, {"lora_r": 4})
    assert [problem.problem for problem in problems] == ["'stray' is not a --key", "--config has no path, expected one"]
