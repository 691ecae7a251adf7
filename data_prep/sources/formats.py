"""The formats of raw sources, and how a source's format is recognized."""

import importlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import ROW_SUFFIXES, DatasetKind, RejectedRow, row_suffix
from data_prep.sources.file_formats.git_files import (
    TEXT_SUFFIXES,
    commit_of,
    document_of_tracked_file,
    functions_of_tracked_file,
    tracked_files,
)
from data_prep.sources.file_formats.html_files import document_of_html_file
from data_prep.sources.file_formats.markdown_questions import questions_of_markdown_file
from data_prep.sources.file_formats.python_files import (
    document_of_python_file,
    functions_of_python_file,
)
from data_prep.sources.file_formats.text_files import document_of_text_file, documents_of_lines, looks_like_text
from data_prep.sources.row_formats.registry import FOREIGN_FORMATS
from data_prep.sources.rows import Item
from data_prep.sources.units import AUTO
from data_prep.sources.walk import description_of_tree, files_of_tree
from pipelines.errors import UserError


@dataclass(frozen=True)
class FileFormat:
    """A format whose files are not tables.

    `readers` has, for each kind of dataset that it can give, the function that reads one file: `(path, root, source) ->
    list of SourceRow and RejectedRow`. `list_files` returns the files of a folder and what is skipped, `describe` more
    of a folder for the manifest. `extra` is the extra of this project, and the package of it, that the readers need.
    """

    suffixes: tuple[str, ...]
    readers: Mapping[DatasetKind, Callable[[Path, Path, str], Iterable[Item]]]
    is_recognized: bool = True  # False: only by its name
    is_fallback: bool = False  # recognized in a folder that has nothing else
    list_files: Callable[[Path, Sequence[str], str], tuple[list[Path], list[RejectedRow]]] = files_of_tree
    describe: Callable[[Path], dict[str, Any]] = description_of_tree
    extra: tuple[str, str] | None = None

    def refuse_missing_extra(self) -> None:
        """Raise `UserError` if the package that reads these files cannot be imported."""
        if self.extra is None:
            return
        name, package = self.extra
        try:
            importlib.import_module(package)
        except ImportError as error:  # of the package, or of one that it needs
            reason = (str(error).splitlines() or [""])[0].rstrip(".")
            raise UserError(f"{package} cannot be imported: {reason}", f"pip install -e '.[{name}]'") from error


_CORPUS, _INSTRUCTIONS = DatasetKind.CORPUS, DatasetKind.INSTRUCTIONS
FILE_FORMATS = {
    "python_tree": FileFormat((".py",), {_INSTRUCTIONS: functions_of_python_file, _CORPUS: document_of_python_file}),
    "python_classes": FileFormat(
        (".py",), {_INSTRUCTIONS: partial(functions_of_python_file, with_classes=True)}, is_recognized=False
    ),
    "text_tree": FileFormat((".txt", ".md", ".rst"), {_CORPUS: document_of_text_file}),
    "text_lines": FileFormat((".txt",), {_CORPUS: documents_of_lines}, is_recognized=False),
    "markdown": FileFormat(
        (".md", ".markdown", ".mdx"), {_INSTRUCTIONS: questions_of_markdown_file}, is_fallback=True
    ),
    "html": FileFormat(
        (".html", ".htm"), {_CORPUS: document_of_html_file}, is_fallback=True, extra=("html", "trafilatura")
    ),
    "git": FileFormat(
        TEXT_SUFFIXES, {_CORPUS: document_of_tracked_file, _INSTRUCTIONS: functions_of_tracked_file},
        is_recognized=False, list_files=tracked_files, describe=commit_of,
    ),
}  # fmt: skip
ROW_FORMATS = {suffix.removeprefix("."): suffix for suffix in ROW_SUFFIXES}
FORMATS = (AUTO, *ROW_FORMATS, *FOREIGN_FORMATS, *FILE_FORMATS)  # the values of --format


def recognize(path: Path, kind: DatasetKind) -> str:
    """Return the format of `path`: by a file's suffix, or the most frequent one of a folder's files.

    Skipped folders (see `files_of_tree`) do not count. In a draw code wins over rows and rows over text, which README
    files are; Markdown as questions, and HTML, only count without all of these. Raises `UserError` if nothing fits
    `kind`.
    """
    suffixes = {name: one.suffixes for name, one in FILE_FORMATS.items() if kind in one.readers and one.is_recognized}
    suffixes |= {name: (suffix,) for name, suffix in ROW_FORMATS.items()}
    if path.is_file():
        counts = Counter([row_suffix(path)])
    else:
        listed = [suffix for some in suffixes.values() for suffix in some]
        files = files_of_tree(path, listed, path.name)[0] or files_of_tree(path, listed, path.name, with_tests=True)[0]
        counts = Counter(map(row_suffix, files))
    n_files = {name: sum(counts[suffix] for suffix in some) for name, some in suffixes.items()}
    fallbacks = {name for name in n_files if name in FILE_FORMATS and FILE_FORMATS[name].is_fallback}
    best = max(n_files, key=lambda name: (n_files[name] * (name not in fallbacks), n_files[name], name != "text_tree"))
    if n_files[best] == 0 and kind is DatasetKind.CORPUS and path.is_file() and looks_like_text(path):
        return "text_tree"
    if n_files[best] == 0:
        found = "holds no such file" if path.is_dir() else f"ends in {path.suffix or 'nothing'}"
        endings = ", ".join((*ROW_SUFFIXES, *(suffix for name in FILE_FORMATS for suffix in suffixes.get(name, ()))))
        problem = f"--source {path} {found}, expected files ending in {endings}"
        raise UserError(problem, "name another --source, or give its --format")
    return best
