import json

from data_prep.dataset_folder.lengths import LengthCounts, texts_by_role


def counted(lengths, role="answer"):
    counts = LengthCounts()
    for length in lengths:
        counts.add(role, length)
    return counts


def test_percentiles_and_histogram_of_known_lengths():
    assert counted(range(1, 101)).to_json() == {
        "answer": {
            "n": 100, "p5": 5, "p50": 50, "p95": 95, "max": 100,
            "histogram": [[1, 1], [3, 2], [7, 4], [15, 8], [31, 16], [63, 32], [127, 37]],
        }
    }  # fmt: skip


def test_a_gap_between_lengths_is_an_empty_bar_and_an_empty_text_has_length_zero():
    assert counted([0, 4]).to_json()["answer"]["histogram"] == [[0, 1], [1, 0], [3, 0], [7, 1]]


def test_counts_of_processes_add_up_in_any_order():
    first, second = counted(range(0, 500, 3)), counted(range(1, 40_000, 7))
    forward, backward = LengthCounts(), LengthCounts()
    for total, parts in ((forward, (first, second)), (backward, (second, first))):
        for part in parts:
            total.update(part)
    assert json.dumps(forward.to_json()) == json.dumps(backward.to_json())


def test_long_texts_need_little_memory():
    counts = counted(range(10_000, 1_000_000))
    assert len(counts.counts["answer"]) < 2_000
    assert abs(counts.to_json()["answer"]["p50"] - 505_000) < 1_000


def test_the_texts_of_each_kind_of_row_by_role():
    messages = [
        {"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "q"}]},
        {"role": "assistant", "content": "a", "tool_calls": []},
    ]  # fmt: skip
    assert list(texts_by_role({"instruction": "i", "input": "in", "output": "o"})) == [
        ("question", "i\n\nin"), ("answer", "o")
    ]  # fmt: skip
    assert list(texts_by_role({"text": "d"})) == [("document", "d")]
    assert list(texts_by_role({"messages": messages})) == [("question", "q"), ("answer", "a")]
    pair = {"prompt": messages[:2], "chosen": [messages[2]], "rejected": [{"role": "assistant", "content": "r"}]}
    assert sorted(texts_by_role(pair)) == [("chosen", "a"), ("question", "q"), ("rejected", "r")]


def test_turns_are_counted_in_messages():
    counts = LengthCounts()
    counts.add_row({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]})
    assert counts.to_json()["turns"]["max"] == 2
