"""Read one unit of a source as a stream of rows and rejected rows."""

import sys
from collections.abc import Iterator

from data_prep.dataset_folder import RejectedRow
from data_prep.dataset_folder.file_readers.bad_rows import BadRow, Row, UnreadableFile
from data_prep.dataset_folder.file_readers.text_encodings import UTF8, TextEncoding
from data_prep.dataset_folder.row_files import FilePart, iter_rows
from data_prep.sources.formats import FILE_FORMATS, ROW_FORMATS
from data_prep.sources.raw_rows import read_raw_rows
from data_prep.sources.row_columns import RowConversion
from data_prep.sources.rows import Item, SourceRow
from data_prep.sources.units import ReadCounts, ReadOptions, Unit


def read_unit(unit: Unit, options: ReadOptions, counts: ReadCounts) -> Iterator[Item]:
    """Yield the rows of `unit` in order, and what of it cannot be read with the reason. `counts` is added to.

    Raises `UserError` for what cannot be read if `options.strict`.
    """
    if unit.format in FILE_FORMATS:
        return _items_of_files(unit, options, counts)
    return _items_of_rows(unit, options, counts)


def _items_of_files(unit: Unit, options: ReadOptions, counts: ReadCounts) -> Iterator[Item]:
    read = FILE_FORMATS[unit.format].readers[options.kind]
    for path in unit.files:
        try:
            for item in read(path, unit.root, unit.source):
                if options.strict and isinstance(item, RejectedRow) and item.reason == "not_utf8":
                    raise UnreadableFile(f"{path} is not UTF-8, and its encoding is not sure", "convert it")
                counts.n_rows += isinstance(item, SourceRow)
                yield item
        except UnreadableFile as error:
            if options.strict:
                raise
            yield RejectedRow(unit.source, path.relative_to(unit.root).as_posix(), error.reason, None, error.details)


def _items_of_rows(unit: Unit, options: ReadOptions, counts: ReadCounts) -> Iterator[Item]:
    rows = _NumberedRows(unit, options, counts)
    conversion = unit.conversion or RowConversion(options.kind)
    try:
        for item in read_raw_rows(rows, conversion, unit.source, counts.unread):
            yield from rows.take_rejected()
            yield item
    except UnreadableFile as error:
        if options.strict:
            raise
        yield from rows.take_rejected()
        yield RejectedRow(unit.source, unit.place(), error.reason, None, error.details)
    yield from rows.take_rejected()


class _NumberedRows:
    """The (source_row, row) of a unit; rows that cannot be read are set aside as rejected."""

    def __init__(self, unit: Unit, options: ReadOptions, counts: ReadCounts) -> None:
        self._unit, self._options, self._counts = unit, options, counts
        self._rejected: list[RejectedRow] = []

    def __iter__(self) -> Iterator[tuple[str, Row]]:
        unit, counts = self._unit, self._counts
        prefix = f"{unit.file_name}:" if unit.file_name else ""
        part, encoding = FilePart(unit.start, unit.stop, unit.first_line), TextEncoding(unit.encoding)
        read = iter_rows(unit.files[0], ROW_FORMATS[unit.format], self._options.max_row_bytes, part, encoding)
        for number, row in enumerate(read, start=unit.first_row):
            counts.n_rows += 1
            if encoding.name not in (None, UTF8) and unit.place() not in counts.encodings:
                self._note_encoding(encoding.name)
            if not isinstance(row, BadRow):
                yield f"{prefix}{number}", row
            elif self._options.strict:
                raise row.error()
            else:
                self._rejected.append(RejectedRow(unit.source, f"{prefix}{number}", row.reason, None, row.details))

    def _note_encoding(self, name: str) -> None:
        self._counts.encodings[self._unit.place()] = name
        if self._unit.start == 0:
            print(f"{self._unit.files[0]}: read as {name}", file=sys.stderr, flush=True)

    def take_rejected(self) -> list[RejectedRow]:
        """Return the rejected rows since the last call."""
        taken, self._rejected = self._rejected, []
        return taken
