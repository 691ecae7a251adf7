"""Stream the rows of Parquet and Arrow files as Python values: JSON columns parsed, numbers as text."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.conversation import scalar_text
from data_prep.dataset_folder.file_readers.bad_rows import BadRow, Read, Row, UnreadableFile
from data_prep.dataset_folder.file_readers.json_values import JSON_DECODER

if TYPE_CHECKING:
    from pyarrow import DataType, RecordBatch, RecordBatchReader, Schema

_BATCH_ROWS = 64  # few, since one long text that is repeated in all rows takes little space in a file
_BATCH_BYTES = 16 << 20
_AGAIN = "write the file again"


def parquet_rows(path: Path, first_group: int = 0, stop_group: int | None = None) -> Iterator[Read]:
    """Yield the rows of some row groups, by default of all. Raises `UnreadableFile` for what is not Parquet."""
    with _errors_named(path, "Parquet"), path.open("rb") as opened:
        from pyarrow.parquet import ParquetFile

        file = ParquetFile(opened)
        as_rows = _rows_of_batches(file.schema_arrow, path)
        for number in range(file.metadata.num_row_groups)[first_group:stop_group]:
            group = file.metadata.row_group(number)
            batch_rows = min(_BATCH_ROWS, _BATCH_BYTES * group.num_rows // max(group.total_byte_size, 1) + 1)
            for batch in file.iter_batches(batch_rows, row_groups=[number]):
                yield from as_rows(batch)


def row_groups(path: Path) -> list[tuple[int, int]]:
    """Return (rows, bytes in memory) of each row group of a Parquet file. Raises `UnreadableFile`."""
    with _errors_named(path, "Parquet"):
        from pyarrow.parquet import read_metadata

        metadata = read_metadata(path)
        groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
        return [(group.num_rows, group.total_byte_size) for group in groups]


def arrow_rows(path: Path) -> Iterator[Read]:
    """Yield the rows of an Arrow IPC file, in its stream form (`save_to_disk`) or its file form.

    Raises `UnreadableFile` for any other file.
    """
    with _errors_named(path, "Arrow"):
        from pyarrow import memory_map

        with memory_map(str(path)) as source:
            schema, batches = _record_batches(source)
            as_rows = _rows_of_batches(schema, path)
            for batch in batches:
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    yield from as_rows(batch.slice(start, _BATCH_ROWS))


def _record_batches(source: Any) -> "tuple[Schema, Iterator[RecordBatch] | RecordBatchReader]":
    from pyarrow import ipc

    if source.read(6) == b"ARROW1":
        file = ipc.open_file(source)
        return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))
    source.seek(0)
    stream = ipc.open_stream(source)
    return stream.schema, stream


@contextmanager
def _errors_named(path: Path, name: str) -> Iterator[None]:
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError as error:
        raise UnreadableFile(f"{path} does not exist", "check the path", reason="missing_file") from error
    except PermissionError as error:
        raise UnreadableFile(
            f"cannot read {path}: permission denied", "check its rights", reason="no_access"
        ) from error
    except (ArrowException, OSError, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or [""])[0].split(". ")[0]
        a = "an" if name[0] == "A" else "a"
        raise UnreadableFile(
            f"{path} is not {a} {name} file: {reason}", _AGAIN, reason=f"not_{name.lower()}"
        ) from error


def _rows_of_batches(schema: "Schema", path: Path) -> "Callable[[RecordBatch], Iterator[Read]]":
    """The function that yields the rows of a batch of this schema."""
    from pyarrow import ArrowException

    names = schema.names
    converters = {place: convert for place, field in enumerate(schema) if (convert := _converter(field.type, top=True))}

    def converted(batch: "RecordBatch") -> list[Row]:
        batch.validate(full=True)  # broken offsets would end the process
        columns = [column.to_pylist() for column in batch.columns]
        for place, convert in converters.items():
            columns[place] = [None if value is None else convert(value) for value in columns[place]]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]

    def rows_of(batch: "RecordBatch") -> Iterator[Read]:
        try:
            rows: list[Read] = list(converted(batch))
        except (ArrowException, ValueError, OverflowError, RecursionError) as error:
            if batch.num_rows > 1:  # find the row
                half = batch.num_rows // 2
                yield from rows_of(batch.slice(0, half))
                yield from rows_of(batch.slice(half))
                return
            reason = (str(error).splitlines() or [""])[0]
            rows = [BadRow("broken_value", f"a row of {path} has a value that cannot be read: {reason}", _AGAIN)]
        yield from rows

    return rows_of


def _converter(kind: "DataType", top: bool = False) -> Callable[[Any], Any] | None:
    """How a value that is not null becomes text (at the `top`) or part of a JSON value; None if it already is.

    Nulls in objects are left out: Arrow fills them in for missing keys.
    """
    from pyarrow import JsonType, types

    if isinstance(kind, JsonType):
        return JSON_DECODER.decode
    if types.is_dictionary(kind):
        return _converter(kind.value_type, top)
    if types.is_struct(kind):
        return _object_converter({field.name: _converter(field.type) for field in kind})
    if types.is_map(kind):
        convert = _converter(kind.item_type)
        return lambda pairs: {str(key): convert(one) if convert and one is not None else one for key, one in pairs}
    if hasattr(kind, "value_type"):  # lists of all kinds
        convert_one = _converter(kind.value_type)
        return (
            None if convert_one is None
            else lambda values: [None if one is None else convert_one(one) for one in values]
        )  # fmt: skip
    if any(test(kind) for test in (types.is_string, types.is_large_string, types.is_string_view, _is_binary)):
        return None
    if types.is_floating(kind):
        return _text_of_float if top else lambda number: None if number != number else number
    is_json = types.is_boolean(kind) or types.is_integer(kind)
    return scalar_text if top else None if is_json else str


def _text_of_float(number: float) -> str | None:
    return None if number != number else scalar_text(number)  # NaN is a missing value, as in JSON


def _is_binary(kind: "DataType") -> bool:
    from pyarrow import types

    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)


def _object_converter(converters: dict[str, Callable[[Any], Any] | None]) -> Callable[[Any], Any]:
    def convert_object(value: dict[str, Any]) -> dict[str, Any]:
        return {
            name: convert(one) if (convert := converters.get(name)) else one
            for name, one in value.items() if one is not None
        }  # fmt: skip

    return convert_object
