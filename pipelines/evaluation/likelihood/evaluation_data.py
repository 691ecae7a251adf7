"""The data that a comparison reads besides its prompts: general text, capability items, training rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import is_dataset_folder, read_manifest, read_rows
from pipelines.errors import UserError
from pipelines.evaluation.likelihood.documents import Documents, Scope, read_dataset
from pipelines.evaluation.likelihood.forgetting import CapabilityItem, capability_item
from pipelines.files import sha256_of_file

_ANSWER_COLUMNS = ("output", "completion", "response", "chosen", "messages", "text")
_HELD_OUT_FIRST = ("test", "validation", "train")


@dataclass(frozen=True)
class EvaluationData:
    """Data to measure forgetting and memorization on; what was not given is None. `general` is text like that of the
    base's training, `capability` questions for a base, `training_answers` the target texts of the instruct model's
    training. `descriptions` are those of the files in comparison.json."""

    general: Documents | None = None
    capability: Sequence[CapabilityItem] | None = None
    training_answers: Sequence[str] | None = None
    descriptions: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(
        cls, general: Path | None = None, capability: Path | None = None, training_rows: Path | None = None
    ) -> "EvaluationData":
        """Read the files: dataset folders, or files of rows; `general` can be a plain text file too. Of a dataset
        folder `general` and `capability` take the test split, else the validation or training split. Raises `UserError`
        for a file that cannot be measured on."""
        documents, items, answers = None, None, None
        described: dict[str, dict[str, Any]] = {}
        if general:
            documents, described["general"] = _general_documents(general)
        if capability:
            split = _split_of(capability, _HELD_OUT_FIRST)
            items = [capability_item(row, where) for row, where in _rows(capability, split)]
            if len(items) < 2:
                problem = f"{capability} has {len(items)} item, expected two or more, for an interval"
                raise UserError(problem, "give more items with --capability")
            described["capability"] = _description(capability, split, len(items))
        if training_rows:
            split = _split_of(training_rows, ("train",))
            answers = [_target_text(row, where) for row, where in _rows(training_rows, split)]
            described["training_rows"] = _description(training_rows, split, len(answers))
        return cls(documents, items, answers, described)


def _general_documents(path: Path) -> tuple[Documents, dict[str, Any]]:
    """Read the documents at `path` as perplexity.py does: at least two that are not empty."""
    try:
        dataset = read_dataset(str(path), _split_of(path, _HELD_OUT_FIRST) or "test")
        documents = dataset.in_scope(Scope.TEXT)
    except UserError as error:  # worded for the flags of perplexity.py
        problem = error.problem.replace("--dataset", "--general")
        raise UserError(problem, "give more text, or another file, with --general") from error
    return documents, {**dataset.description, "n": len(documents.items)}


def _rows(path: Path, split: str | None) -> list[tuple[Mapping[str, Any], str]]:
    """The rows of a file or split, each with its place for error messages."""
    return [(row, f"row {number} of {path}") for number, row in enumerate(read_rows(path, split), start=1)]


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
    """The text that a row trains: of a conversation the assistant's turns, of a preference the chosen answer."""
    value = next((row[column] for column in _ANSWER_COLUMNS if row.get(column) is not None), None)
    if isinstance(value, list) and all(isinstance(turn, dict) for turn in value):
        value = "\n\n".join(str(turn.get("content") or "") for turn in value if turn.get("role") == "assistant")
    if not isinstance(value, str):
        found = f"the columns {', '.join(map(str, row)) or '(none)'}" if value is None else f"a {type(value).__name__}"
        expected = f"text in one of {', '.join(_ANSWER_COLUMNS)}"
        raise UserError(f"{where} has {found}, expected {expected}", "name the column `output`")
    return value
