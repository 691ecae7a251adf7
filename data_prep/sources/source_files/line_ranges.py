"""Cut a plain JSONL file into byte ranges of whole lines, numbered and hashed in the same pass."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.dataset_folder.file_readers.text_encodings import UTF8, TextEncoding, encoding_of

RANGE_BYTES = 2 << 20
_BLANK_LINE = re.compile(rb"^[ \t\r\v\f]*\n", re.MULTILINE)
_BLANK_START = re.compile(rb"\n[ \t\r\v\f\n]")  # much faster to search for than a blank line


@dataclass(frozen=True)
class LineRange:
    """Bytes from `start` to `stop`; rows are lines that are not blank."""

    start: int
    stop: int
    first_row: int
    first_line: int


def line_ranges(path: Path, digest: Any, encoding: TextEncoding, range_bytes: int = RANGE_BYTES) -> Iterator[LineRange]:
    """Yield ranges of about `range_bytes`, or one longer line.

    All bytes of the file update `digest`; `encoding` gets its name, if it has none, before the first range that is not
    ASCII is yielded.
    """
    start = position = 0
    row = line = 1
    is_begun = False  # whether the line that is not complete has more than blanks
    with path.open("rb") as file:
        while block := file.read(range_bytes):
            digest.update(block)
            if encoding.name is None and not block.isascii():
                encoding.name = encoding_of(block) or UTF8
            end = block.rfind(b"\n") + 1
            if end:
                whole_lines = block[:end]
                n_lines = whole_lines.count(b"\n")
                n_rows = n_lines - _n_blank_lines(
                    whole_lines[whole_lines.find(b"\n") + 1 :] if is_begun else whole_lines
                )
                yield LineRange(start, position + end, row, line)
                start, row, line, is_begun = position + end, row + n_rows, line + n_lines, False
            is_begun = is_begun or bool(block[end:].strip())
            position += len(block)
    if is_begun:
        yield LineRange(start, position, row, line)


def _n_blank_lines(lines: bytes) -> int:
    may_have_some = lines[:1].isspace() or _BLANK_START.search(lines)
    return sum(1 for _ in _BLANK_LINE.finditer(lines)) if may_have_some else 0
