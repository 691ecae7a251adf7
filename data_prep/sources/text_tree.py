"""Plain text files as documents of a corpus."""

from pathlib import Path

from data_prep.dataset_folder import RejectedRow
from data_prep.sources.rows import SourceRow, normalised
from data_prep.sources.tree import read_utf8

TEXT_SUFFIXES = (".txt", ".md", ".rst")


def document_of_text_file(path: Path, root: Path, source: str) -> list[SourceRow | RejectedRow]:
    """One text file as one document; its group is its path, so that a file is its own group."""
    relative = path.relative_to(root).as_posix()
    text = read_utf8(path)
    if text is None or not text.strip():
        return [RejectedRow(source, relative, "not_utf8" if text is None else "empty_text")]
    document = text.strip("\n") + "\n"
    return [SourceRow({"text": document}, source, relative, relative, normalised(document))]
