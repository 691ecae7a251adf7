"""Find the encoding of text, and read it as UTF-8."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from data_prep.dataset_folder.file_readers.bad_rows import UnreadableFile

# UTF-32 first: its mark begins with that of UTF-16
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip


def byte_order_mark(head: bytes) -> tuple[str, int] | None:
    """Return the encoding that the byte-order mark at the start of `head` names, and the mark's length."""
    return next(((encoding, len(mark)) for mark, encoding in _MARKS if head.startswith(mark)), None)


def utf8_blocks(blocks: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """Yield the text of `blocks` in UTF-8, without a byte-order mark. Raises `UnreadableFile` for broken UTF-16."""
    first = next(blocks, b"")
    marked = byte_order_mark(first)
    if marked is None or marked[0] == "utf-8":
        yield first[marked[1] :] if marked else first
        yield from blocks
        return
    encoding, length = marked
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        yield decoder.decode(first[length:]).encode()
        for block in blocks:
            yield decoder.decode(block).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        problem = f"{path} is not {encoding.upper()} text, which its byte-order mark says"
        raise UnreadableFile(problem, "write the file again as UTF-8", reason="not_utf8") from error
