"""Decontamination: keep held-out answers out of a training corpus."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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


def manifest_of_held_out(folder: Path) -> dict[str, Any]:
    """Return the manifest. Raises `UserError` if `folder` is not a dataset folder of instructions or conversations."""
    manifest = read_manifest(folder)
    if manifest["kind"] not in (DatasetKind.INSTRUCTIONS, DatasetKind.CONVERSATIONS):
        problem = f"--held_out {folder} is a {manifest['kind']} folder, expected instructions or conversations"
        raise UserError(problem, "name a folder made by data_prep/build_instructions.py")
    return manifest


class HeldOutRows:
    """The validation and test rows of a dataset folder, which a training corpus must not hold."""

    def __init__(self, folder: Path) -> None:
        """Raise `UserError` if `folder` is not a dataset folder of instructions or conversations."""
        manifest = manifest_of_held_out(folder)
        self._windows: set[int] = set()
        self._groups: set[str] = set()
        for split in HELD_OUT_SPLITS:
            if manifest["n_rows"].get(split):
                rows = read_dataset_folder(folder, split)
                self._groups.update(rows["group"])
                answers = (answer for row in rows for answer in _answers(row))
                self._windows.update(window for answer in answers for window in line_windows(answer))

    def overlaps(self, row: SourceRow) -> bool:
        """Whether a document has part of a held-out answer, or its group is held out."""
        return row.group in self._groups or any(one in self._windows for one in line_windows(row.fields["text"]))


def _answers(row: Mapping[str, Any]) -> list[str]:
    if "messages" not in row:
        return [row["output"]]
    return [content_text(one) for one in row["messages"] if one["role"] == "assistant"]
