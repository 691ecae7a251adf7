"""Corpus sources: a corpus folder, text, JSONL, CSV or Parquet files, or the Hub; whole or streamed."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import datasets
from datasets import Dataset, IterableDataset
from huggingface_hub import HfApi
from huggingface_hub.utils import httpx

from data_prep.dataset_folder import (
    ROW_SUFFIXES,
    csv_separator,
    is_dataset_folder,
    read_dataset_folder,
    read_manifest,
    row_suffix,
    split_files,
)
from pipelines.errors import UserError
from pipelines.files import sha256_of_text
from pipelines.recipe.arguments import MixturePart

Rows: TypeAlias = Dataset | IterableDataset

TEXT_SUFFIXES = (".txt", ".text", ".md")
_BUILDERS = {
    ".json": "json", ".jsonl": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".arrow": "arrow",
}  # fmt: skip
_TEXT_COLUMNS = ("text", "content", "code")
_SPLIT_PREFIXES = {"train": ("train",), "validation": ("valid", "dev"), "test": ("test",)}


@dataclass(frozen=True)
class CorpusSource:
    """One source of documents; `files` are its local files by split, empty for the Hub and dataset folders."""

    part: MixturePart
    streaming: bool
    files: Mapping[str, list[str]]
    fingerprint: str

    def has_split(self, split: str) -> bool:
        """Whether there is a split of that name; asks the Hub if needed."""
        path = self.part.path
        if self.files:
            return split in self.files
        if is_dataset_folder(path):
            return bool(read_manifest(path)["n_rows"].get(split))
        if self.part.data_files is not None:
            return isinstance(self.part.data_files, dict) and split in self.part.data_files
        with one_line_errors(path):
            return split in datasets.get_dataset_split_names(path, self.part.name, revision=self.part.revision)

    def rows(self, split: str) -> Rows:
        """Load the rows of one split. Raises `UserError` if they cannot be loaded."""
        part, path = self.part, Path(self.part.path)
        options: dict[str, Any] = {"split": split, "streaming": self.streaming}
        if self.files:
            if split not in self.files:
                raise UserError(
                    f"{path} has no split {split}, only {', '.join(self.files)}", "change the name of the split"
                )
            builder = _builder_of(self.files[split][0])
            # pandas would read "NA" as no text and digits as a number
            how: dict[str, Any] = {"text": {"sample_by": "document"}}.get(builder, {})
            if builder == "csv":
                how = {"converters": dict.fromkeys(_TEXT_COLUMNS, str), "keep_default_na": False}
                how["sep"] = csv_separator(Path(self.files[split][0]))
            with one_line_errors(part.path):
                return datasets.load_dataset(builder, data_files={split: self.files[split]}, **how, **options)
        if is_dataset_folder(path):
            if not self.streaming:
                return read_dataset_folder(path, split)
            files = list(map(str, split_files(path, split)))
            with one_line_errors(part.path):
                return datasets.load_dataset("parquet", data_files={split: files}, **options)
        options |= {"revision": part.revision, "data_dir": part.data_dir, "data_files": part.data_files}
        with one_line_errors(part.path):
            return datasets.load_dataset(part.path, part.name, **options)


def corpus_source(part: MixturePart, *, streaming: bool) -> CorpusSource:
    """Inspect the source of `part`. A Hub dataset is pinned to its current commit, which the run records."""
    path = Path(part.path)
    if not re.fullmatch(r"[\w.-]+", part.split):
        raise UserError(
            f"{part.split} is not a split name of {part.path}, such as train",
            "name the whole split and set max_steps: only sft.py and dpo.py take slices",
        )
    if is_dataset_folder(path):
        hashes = read_manifest(path)["content_sha256"]
        return CorpusSource(part, streaming, {}, f"sha256:{hashes.get(part.split)}")
    if path.is_file() or (path.is_dir() and part.data_files is None and part.data_dir is None):
        files = _files_by_split(path) if path.is_dir() else {part.split: [str(path)]}
        sizes = [f"{name} {Path(name).stat().st_size}" for names in files.values() for name in names]
        return CorpusSource(part, streaming, files, f"files:{sha256_of_text(chr(10).join(sizes))}")
    if row_suffix(path) in (*ROW_SUFFIXES, *TEXT_SUFFIXES):
        raise UserError(f"no such corpus file: {path}", "check the path")
    if path.is_dir():
        return CorpusSource(part, streaming, {}, f"folder:{path}")
    commit = _commit_of(part)
    pinned = MixturePart(**{**vars(part), "revision": commit or part.revision})
    return CorpusSource(pinned, streaming, {}, f"hub:{part.path}@{commit or part.revision or 'unknown'}")


def text_column(columns: list[str], wished: str | None, path: str) -> str:
    """The column with the documents: the recipe's `text_column`, else the first of text, content and code."""
    candidates = (wished,) if wished is not None else _TEXT_COLUMNS
    found = next((column for column in candidates if column in columns), None)
    if found is None:
        raise UserError(
            f"{path} has the columns {', '.join(columns) or '(none)'}, expected {' or '.join(map(str, candidates))}",
            "set text_column to the column with the text",
        )
    return found


@contextmanager
def one_line_errors(path: str) -> Iterator[None]:
    """Raise errors of `datasets` and the Hub about missing, unreachable and broken data as one line."""
    try:
        yield
    except (OSError, ValueError, httpx.HTTPError, datasets.exceptions.DatasetsError) as error:
        cause = error.__cause__ if isinstance(error, datasets.exceptions.DatasetGenerationError) else None
        said = str(cause or error).strip().split("\n")[0][:200]
        raise UserError(
            f"cannot read a corpus at {path}: {said or type(error).__name__}",
            "check the path, its split and configuration, or the Hub id and the network",
        ) from error


def is_text_file(path: Path | str) -> bool:
    """Whether `path` is a file without columns, by its suffix."""
    return Path(path).is_file() and row_suffix(Path(path)) not in ROW_SUFFIXES


def _builder_of(file: str) -> str:
    return _BUILDERS.get(row_suffix(Path(file)), "text")


def _files_by_split(folder: Path) -> dict[str, list[str]]:
    """A folder's files of one kind; if some names begin with `train`, split by name."""
    suffixes = (*TEXT_SUFFIXES, *ROW_SUFFIXES)
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and row_suffix(path) in suffixes)
    paths = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    rows = [path for path in paths if row_suffix(path) in ROW_SUFFIXES]
    paths = [path for path in paths if row_suffix(path) != ".md"] if rows else paths  # a card is not a document
    kinds = sorted({_builder_of(str(path)) for path in paths})
    if len(kinds) != 1:
        raise UserError(
            f"{folder} has {' and '.join(kinds) or 'no'} files, expected one kind ({', '.join(suffixes)}, also .gz)",
            "keep each kind in its own folder and name the folders as `datasets` entries",
        )
    by_split: dict[str, list[str]] = {}
    for path in paths:
        by_split.setdefault(_split_told_by(path.relative_to(folder)), []).append(str(path))
    return by_split if "train" in by_split else {"train": [str(path) for path in paths]}


def _split_told_by(path: Path) -> str:
    for split, prefixes in _SPLIT_PREFIXES.items():
        if any(name.lower().startswith(prefixes) for name in path.parts):
            return split
    return "other"


def _commit_of(part: MixturePart) -> str | None:
    """None if the Hub cannot be reached; loading then finds the copy on disk or fails."""
    try:
        return HfApi().dataset_info(part.path, revision=part.revision).sha
    except (OSError, ValueError, httpx.HTTPError):
        return None
