"""Read plain text files as documents of a corpus: each file, or each line."""

from pathlib import Path

from data_prep.dataset_folder import RejectedRow
from data_prep.sources.rows import Item, SourceRow, digest, group_of_normalized, normalized
from data_prep.sources.walk import read_utf8


def document_of_text_file(path: Path, root: Path, source: str) -> list[Item]:
    """Return one text file as one document; its group is its path."""
    relative = path.relative_to(root).as_posix()
    text = read_utf8(path)
    if text is None or not text.strip():
        return [RejectedRow(source, relative, "not_utf8" if text is None else "empty_text")]
    document = text.strip("\n") + "\n"
    return [SourceRow({"text": document}, source, relative, relative, digest(normalized(document)))]


def documents_of_lines(path: Path, root: Path, source: str) -> list[Item]:
    """Return each line that is not blank as one document; equal lines are one group."""
    relative = path.relative_to(root).as_posix()
    text = read_utf8(path)
    if text is None or not text.strip():
        return [RejectedRow(source, relative, "not_utf8" if text is None else "empty_text")]
    items: list[Item] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if document := line.strip():
            same = normalized(document)
            group = group_of_normalized(same)
            items.append(SourceRow({"text": document}, source, f"{relative}:{number}", group, digest(same)))
    return items


def looks_like_text(path: Path) -> bool:
    """Whether a file begins with UTF-8 text."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    try:
        head[: head.rfind(b"\n") + 1 or None].decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return bool(head.strip()) and b"\0" not in head
