"""Keeping held-out answers out of a training corpus."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_prep.cleaning.filters import RejectReason
from data_prep.conversation import content_text
from data_prep.dataset_folder import DatasetKind, read_dataset_folder, read_manifest
from data_prep.sources import SourceRow
from pipelines.errors import UserError

N_LINES = 5
MIN_CHARS = 120  # below this five lines are boilerplate: `try:`, `pass`, `return None`
HELD_OUT_SPLITS = ("validation", "test")


def line_windows(text: str) -> Iterator[int]:
    """Hashes of each run of `N_LINES` consecutive non-blank stripped lines that is `MIN_CHARS` long together."""
    lines = [stripped for line in text.split("\n") if (stripped := line.strip())]
    for start in range(len(lines) - N_LINES + 1):
        window = lines[start : start + N_LINES]
        if sum(map(len, window)) >= MIN_CHARS:
            yield hash(tuple(window))


def reject_reason_held_out(folder: Path, splits: dict[str, str]) -> RejectReason:
    """`overlaps_held_out` for training documents that hold part of a validation or test answer of `folder`.

    `splits` gives the split of each of the corpus's groups: a document that is itself held out may overlap.
    A training document of a held-out group is rejected too, also if its functions are shorter than a window.
    Raises `UserError` if `folder` is no dataset folder of instructions or of conversations.
    """
    manifest = read_manifest(folder)
    if manifest["kind"] not in (DatasetKind.INSTRUCTIONS, DatasetKind.CONVERSATIONS):
        raise UserError(
            expected=f"a dataset folder of instructions or conversations as --held_out {folder}",
            got=f"a {manifest['kind']} folder",
            remedy="name the folder that data_prep/build_instructions.py made",
        )
    windows: set[int] = set()
    groups: set[str] = set()
    for split in HELD_OUT_SPLITS:
        if manifest["n_rows"].get(split):
            rows = read_dataset_folder(folder, split)
            groups.update(rows["group"])
            windows.update(window for row in rows for answer in _answers(row) for window in line_windows(answer))

    def reason(row: SourceRow) -> str | None:
        if splits.get(row.group) != "train":
            return None
        overlaps = row.group in groups or any(window in windows for window in line_windows(row.fields["text"]))
        return "overlaps_held_out" if overlaps else None

    return reason


def _answers(row: Mapping[str, Any]) -> list[str]:
    if "messages" not in row:
        return [row["output"]]
    return [content_text(one) for one in row["messages"] if one["role"] == "assistant"]
