from pathlib import Path

import numpy as np
import pytest

from data_prep.building.mixture import (
    MixturePart,
    copies_of_rows,
    phrased,
    read_mixture,
    replay_notes,
    rows_not_sampled,
)
from pipelines.errors import UserError

POSITIONS = np.random.default_rng(0).integers(0, 2**64, 3000, np.uint64)
SOURCES = np.repeat([0, 1, 2], 1000)
ALIVE = np.ones(3000, bool)


def kept_by_source(*parts):
    kept = np.ones(3000, bool)
    kept[rows_not_sampled(ALIVE, SOURCES, POSITIONS, parts)] = False
    return np.bincount(SOURCES[kept], minlength=3).tolist(), kept


def test_weights_below_one_caps_and_a_replay_share_leave_rows_out():
    parts = MixturePart("a", weight=0.5), MixturePart("b", max_rows=300), MixturePart("c", replay_share=0.2)
    assert kept_by_source(*parts)[0] == [500, 300, 200]


def test_a_replay_share_counts_the_copies_of_the_other_rows():
    parts = MixturePart("a", weight=2.0), MixturePart("b"), MixturePart("c", replay_share=0.2)
    assert kept_by_source(*parts)[0] == [1000, 1000, 750]  # of 3,750 training rows


def test_a_replay_source_with_too_few_rows_is_kept_whole():
    parts = MixturePart("a"), MixturePart("b"), MixturePart("c", replay_share=0.5)
    assert kept_by_source(*parts)[0] == [1000, 1000, 1000]


def test_a_larger_cap_keeps_the_rows_of_a_smaller_one():
    few, many = (kept_by_source(MixturePart("a", max_rows=n), MixturePart("b"), MixturePart("c"))[1] for n in (50, 80))
    assert (many | ~few).all()


def test_training_rows_are_written_as_often_as_the_weight():
    in_train = SOURCES == 0
    copies = copies_of_rows(in_train, SOURCES, POSITIONS, [MixturePart("a", weight=2.5), MixturePart("b", weight=3)])
    assert set(copies[in_train].tolist()) == {2, 3}
    assert copies[in_train].sum() == 2500
    capped = copies_of_rows(in_train & (POSITIONS < 2**62), SOURCES, POSITIONS, [MixturePart("a", weight=1.5)])
    n_rows = int((in_train & (POSITIONS < 2**62)).sum())
    assert capped[in_train & (POSITIONS < 2**62)].sum() == n_rows + round(n_rows / 2), "also of a sample"
    assert (copies[~in_train] == 1).all(), "held-out rows are written once"


def test_copies_of_a_row_are_phrased_differently_and_the_same_way_each_time():
    row = {"instruction": "Add 1 and 2.", "source": "a", "source_row": "7"}
    phrasings = ["{instruction}", "Please: {instruction}", "{instruction} Thank you."]
    texts = [phrased(row, phrasings, copy, 0)["instruction"] for copy in (1, 2, 3)]
    assert set(texts) == {"Add 1 and 2.", "Please: Add 1 and 2.", "Add 1 and 2. Thank you."}
    assert texts == [phrased(row, phrasings, copy, 0)["instruction"] for copy in (1, 2, 3)]


def test_a_conversation_is_phrased_in_its_first_user_turn():
    turns = [{"role": role, "content": role} for role in ("system", "user", "assistant", "user", "assistant")]
    row = phrased({"messages": turns, "source": "a", "source_row": "1"}, ["Q: {instruction}"], 1, 0)
    assert [turn["content"] for turn in row["messages"]] == ["system", "Q: user", "assistant", "user", "assistant"]


def test_a_pair_of_messages_is_phrased_in_its_prompt():
    prompt, answer = [{"role": "user", "content": "Why?"}], [{"role": "assistant", "content": "So."}]
    row = {"prompt": prompt, "chosen": answer, "rejected": answer, "source": "a", "source_row": "1"}
    assert phrased(row, ["Q: {instruction}"], 1, 0) == {**row, "prompt": [{"role": "user", "content": "Q: Why?"}]}


def test_a_replay_share_that_cannot_be_reached_is_said():
    copies = np.ones(3000, np.uint16)
    parts = [MixturePart("a"), MixturePart("b"), MixturePart("general.jsonl", replay_share=0.5)]
    assert replay_notes(copies, SOURCES, parts) == ["general.jsonl is 33% of the training rows, not 50%: too few rows"]
    assert replay_notes(copies, SOURCES, [*parts[:2], MixturePart("c", replay_share=0.33)]) == []


def mixture(tmp_path: Path, text: str) -> Path:
    (tmp_path / "mixture.yaml").write_text(text)
    return tmp_path / "mixture.yaml"


def test_a_mixture_is_read(tmp_path):
    parts = read_mixture(
        mixture(tmp_path, "- source: a.jsonl\n  weight: 2\n- {source: b.csv, column_map: {output: x}}\n")
    )
    assert parts == [MixturePart("a.jsonl", weight=2.0), MixturePart("b.csv", column_map={"output": "x"})]


def test_an_entry_may_be_only_a_source_and_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    parts = read_mixture(mixture(tmp_path, "- me/rows@v1\n- source: ~/b.csv\n"))
    assert parts == [MixturePart("me/rows@v1"), MixturePart(f"{tmp_path}/b.csv")]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("- source: a\n  wieght: 2\n", "no option 'wieght'.*did you mean weight"),
        ("- weight: 2\n", "lacks source"),
        ("- {source: a, weight: -1}\n", "weight is -1.0"),
        ("- {source: a, weight: heavy}\n", "weight of entry 1 .* is 'heavy', expected a number"),
        ("- {source: a, phrasings: [Please]}\n", r"lacks \{instruction\}"),
        ("- {source: a, replay_share: 0.5}\n", "leave no room"),
        ("- {source: a, format: jsn}\n", "format is 'jsn', expected auto, json, .*did you mean json"),
        ("- {source: a, license: my own}\n", "license is 'my own', expected an identifier such as mit"),
        ("- {source: a, weight: 2, weight: 3}\n", "'weight' is there twice.* line 1"),
        ("source: a\n", "is not a list"),
        ("- a: [\n", "is not YAML"),
    ],
)
def test_a_wrong_mixture_is_refused_in_one_line(tmp_path, text, error):
    with pytest.raises(UserError, match=error):
        read_mixture(mixture(tmp_path, text))
