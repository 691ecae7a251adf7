"""Read plain text files as documents of a corpus: each file, or each line."""

from collections.abc import Iterator
from pathlib import Path

from data_prep.dataset_folder import RejectedRow
from data_prep.dataset_folder.file_readers.bad_rows import row_over_limit
from data_prep.dataset_folder.file_readers.byte_blocks import byte_blocks
from data_prep.dataset_folder.file_readers.json_rows import split_lines
from data_prep.dataset_folder.file_readers.text_encodings import utf8_blocks
from data_prep.sources.rows import Item, SourceRow, digest, group_of_text
from data_prep.sources.walk import MAX_DOCUMENT_BYTES, read_utf8


def document_of_text_file(path: Path, root: Path, source: str) -> list[Item]:
    """Return one text file as one document; its group is its path."""
    relative = path.relative_to(root).as_posix()
    text = read_utf8(path)
    if text is None or not text.strip():
        return [RejectedRow(source, relative, "not_utf8" if text is None else "empty_text")]
    document = text.strip("\n") + "\n"
    return [SourceRow({"text": document}, source, relative, relative, digest(document.strip()))]


def documents_of_lines(path: Path, root: Path, source: str) -> Iterator[Item]:
    """Yield each line that is not blank as one document; equal lines are one group. The file is read as a stream."""
    relative = path.relative_to(root).as_posix()
    has_text = False
    blocks = utf8_blocks(byte_blocks(path, MAX_DOCUMENT_BYTES), path)
    for number, line in enumerate(split_lines(blocks, MAX_DOCUMENT_BYTES), start=1):
        place = f"{relative}:{number}"
        try:
            document = None if line is None else line.decode().strip()
        except UnicodeDecodeError:
            yield RejectedRow(source, place, "not_utf8")
            continue
        if document is None:
            yield RejectedRow(source, place, row_over_limit(place, MAX_DOCUMENT_BYTES).reason)
        elif document:
            yield SourceRow({"text": document}, source, place, group_of_text(document), digest(document.strip()))
        has_text = has_text or document != ""
    if not has_text:
        yield RejectedRow(source, relative, "empty_text")


def looks_like_text(path: Path) -> bool:
    """Whether a file begins with UTF-8 text."""
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
        head[: head.rfind(b"\n") + 1 or None].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return False
    return bool(head.strip()) and b"\0" not in head
