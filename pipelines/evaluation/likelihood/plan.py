"""What is measured beyond the task, and the files it is measured on."""

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
class BeyondPlan:
    """Files to measure a model on beside its prompts; None leaves a measurement out.

    `general` is text like that which the base was trained on (a dataset folder, a file of rows with `text`, or a plain
    text file), `capability` a file of questions that a base can be asked, `training_rows` what the instruct model was
    trained on.
    """

    general: Path | None = None
    capability: Path | None = None
    training_rows: Path | None = None

    def refuse_unusable(self) -> None:
        """Raise `UserError` for a file that cannot be measured on: before a model is loaded for it."""
        if self.general:
            general_documents(self.general)
        if self.capability:
            capability_items(self.capability)
        if self.training_rows:
            training_answers(self.training_rows)


def general_documents(path: Path) -> Documents:
    """The documents at `path`, as perplexity.py reads them: at least two that are not empty.

    Of a dataset folder those of its test split, of the validation or training split where it has none.
    """
    try:
        return _general_rows(path).in_scope(Scope.TEXT)
    except UserError as error:  # worded for the flags of perplexity.py
        raise UserError(
            expected=error.expected.replace("--dataset", "--general"),
            got=error.got,
            remedy="give more text, or another file, with --general",
        ) from error


def capability_items(path: Path) -> list[CapabilityItem]:
    """The items of a file, see `capability_item`; at least two of them."""
    rows = read_rows(path, _split_of(path, _HELD_OUT_FIRST))
    items = [capability_item(row, f"row {number} of {path}") for number, row in enumerate(rows, start=1)]
    if len(items) < 2:
        raise UserError(
            expected=f"at least two items in {path}, for an interval",
            got=str(len(items)),
            remedy="give more items with --capability",
        )
    return items


def training_answers(path: Path) -> list[str]:
    """What a model was taught to say in each row of a dataset folder's training split, or of a file, in their order.

    Of a conversation these are the assistant's turns, of a preference the chosen answer.
    """
    rows = read_rows(path, _split_of(path, ("train",)))
    return [_taught_text(row, f"row {number} of {path}") for number, row in enumerate(rows, start=1)]


def describe_general(path: Path) -> dict[str, Any]:
    """`general` in the record's details."""
    return {**_general_rows(path).description, "n": len(general_documents(path).items)}


def describe_capability(path: Path) -> dict[str, Any]:
    """`capability` in the record's details, without its figures."""
    return _description(path, _split_of(path, _HELD_OUT_FIRST), len(capability_items(path)))


def describe_training_rows(path: Path) -> dict[str, Any]:
    """`training_rows` in the record's details."""
    return _description(path, _split_of(path, ("train",)), len(training_answers(path)))


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


def _taught_text(row: Mapping[str, Any], where: str) -> str:
    value = next((row[column] for column in _ANSWER_COLUMNS if row.get(column) is not None), None)
    if isinstance(value, list) and all(isinstance(turn, dict) for turn in value):
        value = "\n\n".join(str(turn.get("content") or "") for turn in value if turn.get("role") == "assistant")
    if not isinstance(value, str):
        raise UserError(
            expected=f"text in one of the columns {', '.join(_ANSWER_COLUMNS)} in {where}",
            got=f"the columns {', '.join(map(str, row)) or '(none)'}" if value is None else f"a {type(value).__name__}",
            remedy="name the column `output`",
        )
    return value
