"""Read plain text files as documents of a corpus."""

from pathlib import Path

from data_prep.dataset_folder import RejectedRow
from data_prep.sources.rows import Item, SourceRow, digest, normalized
from data_prep.sources.walk import read_utf8


def document_of_text_file(path: Path, root: Path, source: str) -> list[Item]:
    """Return one text file as one document; its group is its path."""
    relative = path.relative_to(root).as_posix()
    text = read_utf8(path)
    if text is None or not text.strip():
        return [RejectedRow(source, relative, "not_utf8" if text is None else "empty_text")]
    document = text.strip("\n") + "\n"
    return [SourceRow({"text": document}, source, relative, relative, digest(normalized(document)))]
