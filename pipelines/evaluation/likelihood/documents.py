"""Read the documents to measure: a dataset folder, a file of rows or of text, or a Hub dataset, in each scope."""

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import ROW_SUFFIXES, is_dataset_folder, load_rows, read_manifest, read_rows, row_suffix
from pipelines.errors import UserError
from pipelines.evaluation.prompts.prompt import Response
from pipelines.evaluation.prompts.prompt_rows import turns_of_row
from pipelines.evaluation.statistics.row_groups import group_of, groups_by_instruction
from pipelines.files import read_text, sha256_of_file, sha256_of_text

Row = Mapping[str, Any]

_TEXT_SUFFIXES = (".txt", ".text", ".raw", ".md")  # a file, never a Hub id
_COLUMNS_OF_ANSWERS = {"output", "completion", "messages", "conversations"}
_NEEDS_ANSWERS = "give rows with an answer each, or measure --scope text"
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_BLANK_LINES = re.compile(r"\n\s*\n")


class Scope(StrEnum):
    """What is scored: a document's whole text, or the text of an answer given its prompt."""

    TEXT = "text"
    RESPONSE = "response"


class TextDocuments(StrEnum):
    """The documents of a plain text file.

    `file`: the whole file is one text, and each token is conditioned on everything before it, across paragraphs too.
    For the interval its paragraphs (its lines, if it has no blank line) are resampled. `paragraph` and `line`: each is
    a document of its own; the blank lines between them are not scored.
    """

    FILE = "file"
    PARAGRAPH = "paragraph"
    LINE = "line"


@dataclass(frozen=True)
class Documents:
    """Texts or responses, with the source of each (None: unknown) and its group: documents of one group depend on each
    other, such as the turns of one conversation (None: a group of its own). `follow_on` means that the texts are the
    passages of one text, in order."""

    items: Sequence[Any]
    sources: Sequence[str | None]
    follow_on: bool = False
    groups: Sequence[str | None] = ()


def refuse_without_sources(documents: Iterable[Documents]) -> None:
    """Raise `UserError` if the source of a document is unknown."""
    if any(None in one.sources for one in documents):
        problem = "--by_source needs the column `source` in each row"
        raise UserError(problem, "leave the flag out, or give a dataset folder or rows with `source`")


@dataclass(frozen=True)
class DatasetRows:
    """Rows with their numbers from 1, and a description of their source: `dataset` in the record."""

    rows: Sequence[tuple[int, Row]]
    description: Mapping[str, Any]
    follow_on: bool = False

    def limited(self, limit: int | None, seed: int) -> "DatasetRows":
        """Draw `limit` rows with `seed`, since the first can all be of one source; of one text the first."""
        if limit is None or limit >= len(self.rows):
            return self
        drawn = self.rows[:limit] if self.follow_on else random.Random(seed).sample(self.rows, limit)
        return DatasetRows(sorted(drawn, key=lambda pair: pair[0]), self.description, self.follow_on)

    def default_scopes(self) -> list[Scope]:
        """Responses where a row has an answer, else the text."""
        columns = {name for _, row in self.rows for name, value in row.items() if value is not None}
        return [Scope.RESPONSE if columns.intersection(_COLUMNS_OF_ANSWERS) else Scope.TEXT]

    def in_scope(self, scope: Scope) -> Documents:
        """Read the texts (`text`, or `output` of instruction rows), or a response for each trained turn of each row.
        Skips empty texts. Raises `UserError` for a row without text or answer, and below two documents, which have no
        interval."""
        documents_of = _text if scope is Scope.TEXT else _responses
        found = [
            (document, row, group_of(row) or (f"row {number}" if len(documents) > 1 else None))
            for number, row in self.rows
            for documents in [documents_of(row, f"row {number} of {self.description['path']}")]
            for document in documents
        ]
        if len(found) < 2:
            n = f"{len(found)} document{'' if len(found) == 1 else 's'} with text"
            problem = f"{self.description['path']} has {n}, expected two or more, for an interval"
            raise UserError(problem, "give a larger --dataset, or a higher --limit")
        items, rows, groups = (list(column) for column in zip(*found, strict=True))
        if scope is Scope.RESPONSE:
            asked = [row.get("instruction") or row.get("prompt") for row in rows]
            groups = groups_by_instruction(groups, [one if isinstance(one, str) else None for one in asked])
        sources = [row.get("source") for row in rows]
        return Documents(items, [source and str(source) for source in sources], self.follow_on, groups)


def read_dataset(
    dataset: str,
    split: str,
    *,
    config: str | None = None,
    revision: str | None = None,
    text_documents: TextDocuments = TextDocuments.FILE,
) -> DatasetRows:
    """Read the rows of a dataset folder, a JSON, JSONL, CSV, Parquet or text file, or a Hub dataset.

    `datasets.load_dataset` reads a folder without a manifest, such as a copy of a Hub dataset. Raises `UserError` if
    nothing can be read.
    """
    path = Path(dataset)
    if (config or revision) and (path.is_file() or is_dataset_folder(path)):
        problem = f"--dataset_config and --dataset_revision are for a Hub dataset, but {dataset} is local"
        raise UserError(problem, "leave those flags out")
    described = {"path": dataset, "split": None}
    if is_dataset_folder(path):
        rows: Sequence[Row] = read_rows(path, split)
        described |= {"split": split, "sha256": read_manifest(path)["content_sha256"][split]}
    elif path.is_file() and row_suffix(path) not in ROW_SUFFIXES:
        rows = [{"text": text} for text in _texts_in(read_text(path), text_documents)]
        described |= {"sha256": sha256_of_file(path), "text_documents": text_documents.value}
    elif path.is_file():
        rows = read_rows(path)
        described |= {"sha256": sha256_of_file(path)}
    elif path.is_dir() or (_HUB_ID.fullmatch(dataset) and row_suffix(path) not in ROW_SUFFIXES + _TEXT_SUFFIXES):
        rows = list(load_rows(dataset, split, name=config, revision=revision))
        content = "\n".join(json.dumps(row, sort_keys=True, default=str) for row in rows)
        described |= {"split": split, "sha256": sha256_of_text(content), "config": config, "revision": revision}
    else:
        raise UserError(
            f"--dataset {dataset} does not exist",
            f"give a dataset folder, a text file, a file ending in {', '.join(ROW_SUFFIXES)}, or a Hub id",
        )
    follow_on = described.get("text_documents") == TextDocuments.FILE.value
    return DatasetRows(list(enumerate(rows, start=1)), described, follow_on)


def _texts_in(text: str, text_documents: TextDocuments) -> list[str]:
    if text_documents is TextDocuments.LINE:
        return [line for line in text.split("\n") if line.strip()]
    if text_documents is TextDocuments.PARAGRAPH:
        return [paragraph.strip("\n") for paragraph in _BLANK_LINES.split(text) if paragraph.strip()]
    begin = len(text) - len(text.lstrip())  # leading blank lines belong to the first passage
    ends = [found.end() for found in _BLANK_LINES.finditer(text) if found.start() > begin]
    passages = [text[begin:end] for begin, end in pairwise(dict.fromkeys([0, *ends, len(text)]))]
    return passages if len(passages) > 1 else text.splitlines(keepends=True)


def _text(row: Row, place: str) -> list[str]:
    text = row.get("text", row.get("output"))
    if not isinstance(text, str):
        found = f"the columns {', '.join(map(str, row)) or '(none)'}" if text is None else f"a {type(text).__name__}"
        problem = f"{place} has {found}, expected text in `text` or `output`"
        raise UserError(problem, "write the document as a string in `text`, or measure answers with --scope response")
    return [text] if text else []


def _responses(row: Row, place: str) -> list[Response]:
    """The trained turns that have text; each template writes a turn that only calls a tool in its own way."""
    if not _COLUMNS_OF_ANSWERS.intersection(name for name, value in row.items() if value is not None):
        columns = f"the columns {', '.join(map(str, row)) or '(none)'}"
        raise UserError(
            f"{place} has {columns}, expected an answer (`output`, `completion`, `messages`)", _NEEDS_ANSWERS
        )
    turns = turns_of_row(dict(row), place)
    found = [response for one in turns if (response := one.response) and response.text.strip()]
    if not found and not any(row.get(name) for name in ("messages", "conversations")):
        raise UserError(f"{place} has an empty answer", _NEEDS_ANSWERS)
    return found
