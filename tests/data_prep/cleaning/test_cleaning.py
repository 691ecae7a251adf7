from pathlib import Path

import pytest

from data_prep.cleaning import (
    filter_rows,
    line_windows,
    reject_reason_duplicate,
    reject_reason_empty,
    reject_reason_held_out,
    reject_reason_too_long,
    sample_rows,
)
from data_prep.dataset_folder import DatasetKind, SplitSizes, assign_splits, read_dataset_folder, write_dataset_folder
from data_prep.sources import SourceRow
from pipelines.errors import UserError

LONG_LINES = [f"    value_{number} = compute_something({number}, more={number})" for number in range(8)]
SIZES = SplitSizes(0.2, 0.2)


def row(instruction: str = "Ask.", output: str = "Say.", number: int = 1) -> SourceRow:
    fields = {"instruction": instruction, "input": "", "output": output}
    return SourceRow(fields, "toy", str(number), f"g{number}", instruction + "\0" + output)


def document(text: str, group: str) -> SourceRow:
    return SourceRow({"text": text}, "toy", group, group, text)


def held_out_folder(folder: Path, kind: DatasetKind = DatasetKind.INSTRUCTIONS) -> Path:
    """Forty modules with one function each; module N's function is made of its own lines."""
    rows = [
        {
            "instruction": f"Ask {number}.",
            "input": "",
            "output": "def f():\n" + "\n".join(line.replace("value", f"v{number}") for line in LONG_LINES),
            "text": f"{number}\n",
            "source": "toy",
            "source_row": str(number),
            "group": f"module_{number}",
        }
        for number in range(40)
    ]
    write_dataset_folder(folder, rows, kind=kind, split_sizes=SIZES, seed=0, sources=[], rejected=[], command="x")
    return folder


def test_empty_instructions_and_outputs_are_rejected_and_empty_inputs_are_not():
    kept, rejected = filter_rows([row(), row(output=" \n"), row(instruction="")], [reject_reason_empty])
    assert len(kept) == 1
    assert [item.reason for item in rejected] == ["empty_output", "empty_instruction"]
    assert rejected[0].row == {"instruction": "Ask.", "input": "", "output": " \n"}


def test_the_output_limit_is_inclusive_and_none_is_off():
    rows = [row(output="x" * 10), row(output="x" * 11)]
    assert [item.reason for item in filter_rows(rows, [reject_reason_too_long(10)])[1]] == ["output_too_long"]
    assert filter_rows(rows, [reject_reason_too_long(None)]) == (rows, [])


def test_of_equal_rows_the_first_stays():
    rows = [row(number=1), row(number=2), row(output="Else.", number=3)]
    kept, rejected = filter_rows(rows, [reject_reason_duplicate()])
    assert [item.source_row for item in kept] == ["1", "3"]
    assert [(item.source_row, item.reason) for item in rejected] == [("2", "duplicate")]


def test_a_row_is_rejected_for_its_first_reason_only():
    rows = [row(output=""), row(output="")]
    assert [r.reason for r in filter_rows(rows, [reject_reason_empty, reject_reason_duplicate()])[1]] == [
        "empty_output"
    ] * 2


def test_the_text_of_a_rejected_document_is_not_copied():
    rejected = filter_rows([document(" ", "a")], [reject_reason_empty])[1]
    assert rejected[0].row is None
    assert rejected[0].reason == "empty_text"


def test_a_limit_keeps_a_seeded_sample_in_order_and_counts_the_rest():
    rows = [row(number=number) for number in range(100)]
    kept, rejected = sample_rows(rows, 10, seed=0)
    numbers = [int(item.source_row) for item in kept]
    assert len(numbers) == 10
    assert numbers == sorted(numbers)
    assert numbers != list(range(10))
    assert len(rejected) == 90
    assert {item.reason for item in rejected} == {"over_limit"}
    assert sample_rows(rows, 10, seed=0) == (kept, rejected)
    assert sample_rows(rows, 10, seed=1)[0] != kept
    assert sample_rows(rows, None, seed=0) == sample_rows(rows, 100, seed=0) == (rows, [])


def test_windows_are_five_long_lines_whatever_the_blanks_and_the_indentation():
    text = "\n".join(LONG_LINES[:5])
    assert len(set(line_windows(text))) == 1
    assert set(line_windows(text)) == set(line_windows("\n\n".join("  " + line + "  " for line in LONG_LINES[:5])))
    assert set(line_windows("\n".join(LONG_LINES[:4]))) == set()
    assert set(line_windows("try:\npass\nelse:\npass\nreturn None\n")) == set()
    assert len(set(line_windows("\n".join(LONG_LINES)))) == 4


def test_a_training_document_with_a_held_out_answer_in_it_is_rejected(tmp_path):
    folder = held_out_folder(tmp_path / "instructions")
    test_rows, train_rows = (read_dataset_folder(folder, split).to_list() for split in ("test", "train"))
    copied = "import os\n\nclass A:\n    " + test_rows[0]["output"].replace("\n", "\n    ") + "\n"
    documents = [
        document(copied, "vendored"),
        document(train_rows[0]["output"], "vendored_too"),
        document("short\n", test_rows[0]["group"]),
        document("unrelated\n", "fine"),
    ]
    splits = dict.fromkeys((item.group for item in documents), "train")
    kept, rejected = filter_rows(documents, [reject_reason_held_out(folder, splits)])
    assert [item.group for item in kept] == ["vendored_too", "fine"]
    assert [(item.source_row, item.reason) for item in rejected] == [
        ("vendored", "overlaps_held_out"),
        (test_rows[0]["group"], "overlaps_held_out"),
    ]


def test_held_out_answers_of_conversations_are_kept_out_too(tmp_path):
    code = "\n".join(LONG_LINES)
    rows = [
        {
            "messages": [{"role": "user", "content": f"Ask {n}."}, {"role": "assistant", "content": f"{n}\n{code}{n}"}],
            "source": "toy", "source_row": str(n), "group": f"g{n}",
        }
        for n in range(40)
    ]  # fmt: skip
    folder, kind = tmp_path / "conversations", DatasetKind.CONVERSATIONS
    write_dataset_folder(folder, rows, kind=kind, split_sizes=SIZES, seed=0, sources=[], rejected=[], command="x")
    documents = [document(f"import os\n{code}\n", "copy"), document("unrelated\n", "fine")]
    splits = dict.fromkeys(("copy", "fine"), "train")
    kept, rejected = filter_rows(documents, [reject_reason_held_out(folder, splits)])
    assert [item.group for item in kept] == ["fine"]
    assert [item.reason for item in rejected] == ["overlaps_held_out"]


def test_a_document_that_is_held_out_itself_may_overlap(tmp_path):
    folder = held_out_folder(tmp_path / "instructions")
    test_row = read_dataset_folder(folder, "test")[0]
    own = document(test_row["output"], test_row["group"])
    splits = assign_splits((f"module_{number}" for number in range(40)), 0, SIZES)
    assert filter_rows([own], [reject_reason_held_out(folder, splits)]) == ([own], [])


def test_held_out_must_be_an_instruction_dataset(tmp_path):
    with pytest.raises(UserError, match=r"--held_out .* is a corpus folder, expected instructions or conversations"):
        reject_reason_held_out(held_out_folder(tmp_path / "corpus", DatasetKind.CORPUS), {})
    with pytest.raises(UserError, match="does not exist"):
        reject_reason_held_out(tmp_path / "nowhere", {})
