"""The formats of raw sources, and how a source's format is recognized."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from data_prep.dataset_folder import ROW_SUFFIXES, DatasetKind, row_suffix
from data_prep.sources.file_formats.python_files import document_of_python_file, functions_of_python_file
from data_prep.sources.file_formats.text_files import document_of_text_file
from data_prep.sources.row_formats.registry import FOREIGN_FORMATS
from data_prep.sources.rows import Item
from data_prep.sources.units import AUTO
from data_prep.sources.walk import files_of_tree
from pipelines.errors import UserError


@dataclass(frozen=True)
class FileFormat:
    """A format whose files are not tables. `readers` has, for each kind of dataset that it can give, the function that
    reads one file: `(path, root, source) -> list of SourceRow and RejectedRow`."""

    suffixes: tuple[str, ...]
    readers: Mapping[DatasetKind, Callable[[Path, Path, str], list[Item]]]


FILE_FORMATS = {
    "python_tree": FileFormat(
        (".py",), {DatasetKind.INSTRUCTIONS: functions_of_python_file, DatasetKind.CORPUS: document_of_python_file}
    ),
    "text_tree": FileFormat((".txt", ".md", ".rst"), {DatasetKind.CORPUS: document_of_text_file}),
}
ROW_FORMATS = {suffix.removeprefix("."): suffix for suffix in ROW_SUFFIXES}
FORMATS = (AUTO, *ROW_FORMATS, *FOREIGN_FORMATS, *FILE_FORMATS)  # the values of --format


def recognize(path: Path, kind: DatasetKind) -> str:
    """Return the format of `path`: by a file's suffix, or the most frequent one of a folder's files.

    Skipped folders (see `files_of_tree`) do not count. In a draw code wins over rows and rows over text, which README
    files are. Raises `UserError` if nothing fits `kind`.
    """
    suffixes = {name: one.suffixes for name, one in FILE_FORMATS.items() if kind in one.readers}
    suffixes |= {name: (suffix,) for name, suffix in ROW_FORMATS.items()}
    if path.is_file():
        counts = Counter([row_suffix(path)])
    else:
        listed = [suffix for some in suffixes.values() for suffix in some]
        counts = Counter(row_suffix(file) for file in files_of_tree(path, listed, path.name)[0])
    n_files = {name: sum(counts[suffix] for suffix in some) for name, some in suffixes.items()}
    best = max(n_files, key=lambda name: (n_files[name], name != "text_tree"))
    if n_files[best] == 0:
        found = "holds no such file" if path.is_dir() else f"ends in {path.suffix or 'nothing'}"
        endings = ", ".join((*ROW_SUFFIXES, *(suffix for name in FILE_FORMATS for suffix in suffixes.get(name, ()))))
        problem = f"--source {path} {found}, expected files ending in {endings}"
        raise UserError(problem, "name another --source, or give its --format")
    return best
