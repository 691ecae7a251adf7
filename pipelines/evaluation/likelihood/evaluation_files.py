"""The files that a comparison reads besides its prompts: general text, capability items, training rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import is_dataset_folder, read_manifest, read_rows
from pipelines.errors import UserError
from pipelines.evaluation.likelihood.capability_items import CapabilityItem, capability_item
from pipelines.evaluation.perplexity.documents import DatasetRows, Documents, Scope, read_dataset
from pipelines.files import sha256_of_file

_ANSWER_COLUMNS = ("output", "completion", "response", "chosen", "messages", "text")
_HELD_OUT_FIRST = ("test", "validation", "train")


@dataclass(frozen=True)
class EvaluationFiles:
    """Files to measure forgetting and memorization on; None skips a measurement.

    `general` is text like that of the base's training (a dataset folder, a file of rows with `text`, or a plain text
    file), `capability` a file of questions for a base, `training_rows` the instruct model's training data.
    """

    general: Path | None = None
    capability: Path | None = None
    training_rows: Path | None = None

    def check(self) -> None:
        """Raise `UserError` for a file that cannot be measured on, before a model is loaded for it."""
        if self.general:
            general_documents(self.general)
        if self.capability:
            capability_items(self.capability)
        if self.training_rows:
            training_answers(self.training_rows)

    def describe(self) -> dict[str, dict[str, Any]]:
        """The files in `details` of comparison.json."""
        found: dict[str, dict[str, Any]] = {}
        if self.general:
            found["general"] = {
                **_general_rows(self.general).description,
                "n": len(general_documents(self.general).items),
            }
        if self.capability:
            n = len(capability_items(self.capability))
            found["capability"] = _description(self.capability, _split_of(self.capability, _HELD_OUT_FIRST), n)
        if self.training_rows:
            n = len(training_answers(self.training_rows))
            found["training_rows"] = _description(self.training_rows, _split_of(self.training_rows, ("train",)), n)
        return found


def general_documents(path: Path) -> Documents:
    """Read the documents at `path` as perplexity.py does: at least two that are not empty.

    Of a dataset folder the test split, else the validation or training split.
    """
    try:
        return _general_rows(path).in_scope(Scope.TEXT)
    except UserError as error:  # worded for the flags of perplexity.py
        problem = error.problem.replace("--dataset", "--general")
        raise UserError(problem, "give more text, or another file, with --general") from error


def capability_items(path: Path) -> list[CapabilityItem]:
    """Read the items of a file, see `capability_item`; at least two of them."""
    rows = read_rows(path, _split_of(path, _HELD_OUT_FIRST))
    items = [capability_item(row, f"row {number} of {path}") for number, row in enumerate(rows, start=1)]
    if len(items) < 2:
        raise UserError(
            f"{path} has {len(items)} item, expected two or more, for an interval", "give more items with --capability"
        )
    return items


def training_answers(path: Path) -> list[str]:
    """Read the target text of each row of a dataset folder's training split, or of a file, in order.

    Of a conversation these are the assistant's turns, of a preference the chosen answer.
    """
    rows = read_rows(path, _split_of(path, ("train",)))
    return [_target_text(row, f"row {number} of {path}") for number, row in enumerate(rows, start=1)]


def _general_rows(path: Path) -> DatasetRows:
    return read_dataset(str(path), _split_of(path, _HELD_OUT_FIRST) or "test")


def _description(path: Path, split: str | None, n: int) -> dict[str, Any]:
    content = read_manifest(path)["content_sha256"][split] if split else sha256_of_file(path)
    return {"path": str(path), "split": split, "sha256": content, "n": n}


def _split_of(path: Path, splits: tuple[str, ...]) -> str | None:
    """The first of `splits` that has rows in a dataset folder, None for a file."""
    if not is_dataset_folder(path):
        return None
    n_rows = read_manifest(path)["n_rows"]
    return next((split for split in splits if n_rows.get(split)), splits[0])


def _target_text(row: Mapping[str, Any], where: str) -> str:
    value = next((row[column] for column in _ANSWER_COLUMNS if row.get(column) is not None), None)
    if isinstance(value, list) and all(isinstance(turn, dict) for turn in value):
        value = "\n\n".join(str(turn.get("content") or "") for turn in value if turn.get("role") == "assistant")
    if not isinstance(value, str):
        found = f"the columns {', '.join(map(str, row)) or '(none)'}" if value is None else f"a {type(value).__name__}"
        raise UserError(
            f"{where} has {found}, expected text in one of {', '.join(_ANSWER_COLUMNS)}", "name the column `output`"
        )
    return value
