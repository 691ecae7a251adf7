from pathlib import Path

import pytest

from data_prep.cleaning.decontamination import HeldOutRows, line_windows
from data_prep.dataset_folder import DatasetKind, SplitSizes, read_dataset_folder, write_dataset_folder
from data_prep.sources import SourceRow
from pipelines.errors import UserError

LONG_LINES = [f"    value_{number} = compute_something({number}, more={number})" for number in range(8)]
SIZES = SplitSizes(0.2, 0.2)


def document(text: str, group: str) -> SourceRow:
    return SourceRow({"text": text}, "toy", group, group, b"")


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


def test_windows_are_five_long_lines_whatever_the_blanks_and_the_indentation():
    text = "\n".join(LONG_LINES[:5])
    assert len(set(line_windows(text))) == 1
    assert set(line_windows(text)) == set(line_windows("\n\n".join("  " + line + "  " for line in LONG_LINES[:5])))
    assert set(line_windows("\n".join(LONG_LINES[:4]))) == set()
    assert set(line_windows("try:\npass\nelse:\npass\nreturn None\n")) == set()
    assert len(set(line_windows("\n".join(LONG_LINES)))) == 4


def test_a_document_with_a_held_out_answer_in_it_or_of_a_held_out_group_overlaps(tmp_path):
    folder = held_out_folder(tmp_path / "instructions")
    test_rows, train_rows = (read_dataset_folder(folder, split).to_list() for split in ("test", "train"))
    held_out = HeldOutRows(folder)
    copied = "import os\n\nclass A:\n    " + test_rows[0]["output"].replace("\n", "\n    ") + "\n"
    assert held_out.overlaps(document(copied, "vendored"))
    assert held_out.overlaps(document("short\n", test_rows[0]["group"]))
    assert not held_out.overlaps(document(train_rows[0]["output"], "vendored_too"))
    assert not held_out.overlaps(document("unrelated\n", "fine"))


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
    held_out = HeldOutRows(folder)
    assert held_out.overlaps(document(f"import os\n{code}\n", "copy"))
    assert not held_out.overlaps(document("unrelated\n", "fine"))


def test_held_out_must_be_an_instruction_dataset(tmp_path):
    with pytest.raises(UserError, match=r"--held_out .* is a corpus folder, expected instructions or conversations"):
        HeldOutRows(held_out_folder(tmp_path / "corpus", DatasetKind.CORPUS))
    with pytest.raises(UserError, match="does not exist"):
        HeldOutRows(tmp_path / "nowhere")
