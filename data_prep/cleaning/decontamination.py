"""Decontamination: keep held-out answers out of a training corpus."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_prep.cleaning.filters import RejectReason
from data_prep.conversation import content_text
from data_prep.dataset_folder import DatasetKind, read_dataset_folder, read_manifest
from data_prep.sources import SourceRow
from pipelines.errors import UserError

N_LINES = 5
MIN_CHARS = 120  # shorter windows are boilerplate: `try:`, `pass`, `return None`
HELD_OUT_SPLITS = ("validation", "test")


def line_windows(text: str) -> Iterator[int]:
    """Yield a hash for each run of `N_LINES` non-blank stripped lines with at least `MIN_CHARS` characters."""
    lines = [stripped for line in text.split("\n") if (stripped := line.strip())]
    for start in range(len(lines) - N_LINES + 1):
        window = lines[start : start + N_LINES]
        if sum(map(len, window)) >= MIN_CHARS:
            yield hash(tuple(window))


def reject_reason_held_out(folder: Path, splits: dict[str, str]) -> RejectReason:
    """Return a filter that rejects training documents with part of a validation or test answer of `folder`, or of a
    held-out group, as `overlaps_held_out`.

    `splits` has the split of each group of the corpus: a document that is itself held out may overlap. Raises
    `UserError` if `folder` is not a dataset folder of instructions or conversations.
    """
    manifest = read_manifest(folder)
    if manifest["kind"] not in (DatasetKind.INSTRUCTIONS, DatasetKind.CONVERSATIONS):
        problem = f"--held_out {folder} is a {manifest['kind']} folder, expected instructions or conversations"
        raise UserError(problem, "name a folder made by data_prep/build_instructions.py")
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
