"""Stream the rows of a JSON file: one JSON value on each line, or one array of rows."""

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from data_prep.dataset_folder.file_readers.bad_rows import (
    BadRow,
    Read,
    Row,
    UnreadableFile,
    row_not_utf8,
    row_over_limit,
)
from data_prep.dataset_folder.file_readers.json_values import JSON_DECODER, parse_line
from pipelines.files import is_utf8

_NOT_AN_OBJECT = "write each row as {...}"
_BLANKS = re.compile(r"[ \t\n\r]*")
_LONGEST_ESCAPE = len("\\ud800\\udc00")


def json_rows(blocks: Iterator[bytes], path: Path, max_bytes: int, lines: bool, first_line: int = 1) -> Iterator[Read]:
    """Yield the rows of UTF-8 `blocks`. A text that begins with [ is an array, any other text has a row on each line.

    Without `lines`, one object over several lines is one row if it holds a list of objects, else an error.
    """
    is_start, head = first_line == 1, b""
    for head in blocks:
        if head.strip():
            break
        first_line, head = first_line + head.count(b"\n"), b""
    if is_start and head.lstrip()[:1] == b"[":
        yield from _array_rows(chain([head], blocks), path, max_bytes, first_line)
        return
    if not lines and head.strip():
        head = _with_first_line(head, blocks, max_bytes)
        if not _is_row(head, path):
            yield _one_object(chain([head], blocks), path, max_bytes)
            return
    yield from _line_rows(split_lines(chain([head], blocks), max_bytes), path, max_bytes, first_line)


def split_lines(blocks: Iterable[bytes], max_bytes: int) -> Iterator[bytes | None]:
    """Yield the lines of `blocks`, without line ends; None is a line of more than `max_bytes`, which is not kept."""
    pieces: list[bytes] = []
    n_bytes = 0  # of the line that is not complete
    for block in blocks:
        first, *others = block.split(b"\n")
        n_bytes += len(first)
        pieces = [*pieces, first] if n_bytes <= max_bytes else []
        if others:
            yield b"".join(pieces) if n_bytes <= max_bytes else None
            last = others.pop()
            yield from others
            pieces, n_bytes = [last], len(last)
    if n_bytes:
        yield b"".join(pieces) if n_bytes <= max_bytes else None


def _line_rows(lines: Iterator[bytes | None], path: Path, max_bytes: int, first_line: int) -> Iterator[Read]:
    for number, line in enumerate(lines, start=first_line):
        if line is None:
            yield row_over_limit(f"line {number} of {path}", max_bytes, line=number)
            continue
        try:
            row = parse_line(line)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            if line.strip():
                yield _bad_line(error, path, number)
            continue
        yield row if type(row) is dict else _not_an_object(row, f"line {number} of {path}", line=number)


def _bad_line(error: Exception, path: Path, line: int) -> BadRow:
    if isinstance(error, json.JSONDecodeError):
        place = f"on line {line}, column {error.colno}"
        problem = f"{path} is not valid JSON: {error.msg.lower()} {place}"
        return BadRow("not_json", problem, "fix that line", {"line": line, "column": error.colno})
    if isinstance(error, UnicodeDecodeError):
        return row_not_utf8(f"line {line} of {path}", line=line)
    problem = f"line {line} of {path} is nested too deeply"
    return BadRow("nested_too_deeply", problem, "remove that line", {"line": line})


def _not_an_object(value: Any, place: str, **details: Any) -> BadRow:
    problem = f"{place} is a {type(value).__name__}, expected an object"
    return BadRow("not_an_object", problem, _NOT_AN_OBJECT, details)


def _with_first_line(head: bytes, blocks: Iterator[bytes], max_bytes: int) -> bytes:
    """Return `head` with more of `blocks` up to the end of the first line that is not blank."""
    while b"\n" not in head.lstrip() and len(head) <= max_bytes and (block := next(blocks, b"")):
        head += block
    return head


def _is_row(head: bytes, path: Path) -> bool:
    """Whether the first line is a whole object, or the start of one. Raises `UnreadableFile` for anything else."""
    line = head.lstrip().split(b"\n", 1)[0]
    try:
        value = parse_line(line)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        if line[:1] == b"{":
            return False
        problem = f"{path} is not valid JSON: expecting value on line 1, column 1"
        raise UnreadableFile(problem, "fix that line", reason="not_json") from None
    if isinstance(value, dict):
        return True
    raise _no_rows(value, path)


def _no_rows(value: Any, path: Path) -> UnreadableFile:
    problem = f"{path} is a {type(value).__name__}, expected a list of rows, [{{...}}, ...]"
    return UnreadableFile(problem, "write the rows as a JSON list or as JSON lines", reason="not_a_list_of_rows")


def _one_object(blocks: Iterator[bytes], path: Path, max_bytes: int) -> Read:
    """Return a file that is one object over several lines as one row, such as a task with its instances.

    Raises `UnreadableFile` if it holds no list of objects.
    """
    pieces, n_bytes = [], 0
    for block in blocks:
        pieces.append(block)
        n_bytes += len(block)
        if n_bytes > max_bytes:
            return row_over_limit(f"the object in {path}", max_bytes)
    try:
        row: Row = parse_line(b"".join(pieces))
        if not any(isinstance(one, list) and one and isinstance(one[0], dict) for one in row.values()):
            raise _no_rows(row, path)
        return row
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        return _bad_line(error, path, error.lineno if isinstance(error, json.JSONDecodeError) else 1)


def _array_rows(blocks: Iterator[bytes], path: Path, max_bytes: int, first_line: int) -> Iterator[Read]:
    """Yield the elements of an array; only one of them, and a block, is in memory."""
    text = _StreamedText(blocks, path, max_bytes, first_line)
    text.skip("[")
    number = 0
    while text.peek() != "]":
        if number:
            text.skip(",")
        number += 1
        row, place = text.value(number), f"row {number} of {path}"
        if isinstance(row, dict):
            yield row
        else:
            yield row if isinstance(row, BadRow) else _not_an_object(row, place)
    text.skip("]")
    if text.peek():
        raise text.error("extra data", text.place)


class _StreamedText:
    """JSON text read from blocks; `place` is the position in the part `text` that is in memory."""

    def __init__(self, blocks: Iterator[bytes], path: Path, max_bytes: int, first_line: int) -> None:
        self.text, self.place = "", 0
        self._line, self._column = first_line, 0  # of the start of `text`; columns are counted from 0
        self._blocks, self._path, self._max_bytes = blocks, path, max_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._ended, self._is_utf8 = False, True  # of all text so far

    def peek(self) -> str:
        """Return the next character that is not blank; "" at the end."""
        while True:
            self.place = _BLANKS.match(self.text, self.place).end()  # type: ignore[union-attr]
            if self.place < len(self.text) or self._ended:
                return self.text[self.place : self.place + 1]
            self._read_more(1)

    def skip(self, wanted: str) -> None:
        """Go behind the character `wanted`. Raises `UnreadableFile` if there is another one."""
        if self.peek() != wanted:
            what = "expecting ',' delimiter" if wanted in ",]" else "expecting value"
            raise self.error(what, self.place)
        self.place += 1

    def value(self, number: int) -> Any:
        """Return the JSON value at `place`, which is row `number`, or a `BadRow` for it, and go behind it."""
        self.peek()
        while True:
            try:
                value, end = JSON_DECODER.raw_decode(self.text, self.place)
                if end < len(self.text) or self._ended:
                    return self._taken(value, end, number)
            except json.JSONDecodeError as error:
                if self._ended or not self._may_be_cut(error):
                    raise self.error(error.msg.lower(), error.pos) from error
            except RecursionError as error:
                raise self.error("nested too deeply", self.place) from error
            if len(self.text) - self.place > self._max_bytes:
                over = row_over_limit(f"row {number} of {self._path}", self._max_bytes)
                raise UnreadableFile(over.problem, over.fix, reason=over.reason)
            self._read_more(len(self.text) - self.place)  # twice as much: a long row is not parsed too often

    def _taken(self, value: Any, end: int, number: int) -> Any:
        start, self.place = self.place, end
        place = f"row {number} of {self._path}"
        if end - start > self._max_bytes:
            return row_over_limit(place, self._max_bytes)
        is_good = self._is_utf8 or is_utf8(self.text[start:end])
        return value if is_good else row_not_utf8(place)

    def error(self, what: str, place: int) -> UnreadableFile:
        """Return the error `what` with line and column of `place`."""
        line = self._line + self.text.count("\n", 0, place)
        line_end = self.text.rfind("\n", 0, place)
        column = place - line_end if line_end >= 0 else self._column + place + 1
        problem = f"{self._path} is not valid JSON: {what} on line {line}, column {column}"
        details = {"line": line, "column": column}
        return UnreadableFile(problem, "fix that line", reason="not_json", details=details)

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        return error.msg.startswith("Unterminated string") or error.pos + _LONGEST_ESCAPE >= len(self.text)

    def _read_more(self, n_chars: int) -> None:
        line_end = self.text.rfind("\n", 0, self.place)
        self._line += self.text.count("\n", 0, self.place)
        self._column = self.place - line_end - 1 if line_end >= 0 else self._column + self.place
        pieces, n_read = [self.text[self.place :]], 0
        while n_read < n_chars and not self._ended:
            block = next(self._blocks, b"")
            self._ended = not block
            piece = self._decoder.decode(block, final=self._ended)
            self._is_utf8 = self._is_utf8 and (piece.isascii() or is_utf8(piece))
            pieces.append(piece)
            n_read += len(piece)
        self.text, self.place = "".join(pieces), 0
