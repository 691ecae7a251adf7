"""Raw rows as a stream: two ways to the same row, no row held back, columns that are not read."""

from collections import Counter
from itertools import islice
from typing import Any

import pytest

from data_prep.dataset_folder import DatasetKind
from data_prep.sources.raw_rows import read_raw_rows
from data_prep.sources.row_columns import RowConversion

INSTRUCTIONS = RowConversion(DatasetKind.INSTRUCTIONS)


def read(*rows: dict[str, Any], conversion: RowConversion = INSTRUCTIONS) -> tuple[list[Any], Counter[str]]:
    unread: Counter[str] = Counter()
    numbered = ((str(number), row) for number, row in enumerate(rows, start=1))
    return list(read_raw_rows(numbered, conversion, "rows", unread)), unread


@pytest.mark.parametrize("row", [
    {"instruction": " Add\n1 and 2. ", "input": None, "output": "3\n"},
    {"instruction": "Wo?", "input": "Überall\u2028da", "output": "\n    x = 1\n    return x\n\n", "category": "Ort"},
    {"question": "a\0b", "context": "", "answer": "", "category": None, "url": "x", "empty": []},
    {"instruction": "a", "input": 4, "output": True, "references": ["b"]},
    {"instruction": "[1, 2]", "output": '[{"role": "assistant", "content": "x"}]'},
    {"instruction": "a", "output": "\ud800"},
    {"Question": "a", "Answer": "b", "Category": "c"},
    {"instruction": "a", "output": "b", "source": "forum", "group": "tree 7"},
    {"instruction": "a", "output": "b", "source": "", "group": 7},
    {"instruction": "a", "output": "b", "source": "\ud800"},
    {"instruction": "a", "output": ["b"]},
])  # fmt: skip
def test_the_fast_way_and_the_slow_way_read_the_same_row(row):
    slow = {**row, "system": None, "history": None}  # columns of a conversation
    assert read(row) == read(slow)


def test_a_source_of_its_own_that_is_not_unicode_is_rejected():
    [item], _ = read({"instruction": "a", "output": "b", "source": "\ud800"})
    assert item.reason == "not_unicode"


@pytest.mark.parametrize("text", ["\n  a\n", "[1]", "", None, 4, "\ud800", ["a"]])
def test_a_document_is_read_the_same_in_both_ways(text):
    corpus = RowConversion(DatasetKind.CORPUS)
    assert read({"text": text}, conversion=corpus) == read({"text": text, "content": None}, conversion=corpus)


def test_a_mapped_column_is_kept_under_our_name():
    mapped = RowConversion(DatasetKind.INSTRUCTIONS, {"category": "kind", "output": "say"})
    [item], unread = read({"instruction": "a", "say": "b", "kind": "c"}, conversion=mapped)
    assert item.fields == {"instruction": "a", "input": "", "output": "b", "category": "c"}
    assert not unread


def test_rows_are_read_one_by_one():
    endless = ((str(n), {"instruction": f"Count to {n}.", "output": "1"}) for n in iter(int, 1))
    assert len(list(islice(read_raw_rows(endless, INSTRUCTIONS, "rows", Counter()), 3))) == 3


def test_rows_with_keys_of_their_own_are_read_by_their_own_columns():
    rows = [{"instruction": "a", "output": "b", f"key {n}": n} for n in range(2100)]
    items, unread = read(*rows, {"question": "c", "answer": "d"})
    assert {item.fields["output"] for item in items} == {"b", "d"}
    assert len(unread) == 2100


def test_equal_rows_have_a_key_of_16_bytes_in_common_and_case_and_indentation_count():
    items, _ = read({"instruction": "A b", "output": "c"}, {"instruction": "A b\n", "output": " c"},
                    {"instruction": "A", "input": "b", "output": "c"}, {"instruction": "A b", "output": "C"},
                    {"instruction": "A b", "output": "if c:\n    d\n    e"},
                    {"instruction": "A b", "output": "if c:\n    d\ne"})  # fmt: skip
    keys = [item.same_as for item in items]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 5
    assert {len(key) for key in keys} == {16}
