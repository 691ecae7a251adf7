"""Write the Parquet files of a dataset folder from a stream of tables, with the hash of each split's content."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.dataset_folder.columns import text_table, with_features

if TYPE_CHECKING:
    from pyarrow import Table
    from pyarrow.parquet import ParquetWriter

_ROWS_PER_GROUP = 1000
MAX_FILE_BYTES = 500 << 20  # the Hub's viewer and parallel readers like files below 500 MB


class SplitFiles:
    """The files of one split, `data/NAME-00000-of-00001.parquet` and so on, made when the first rows come.

    Memory holds at most one row group. Use as a context manager: at the end the files get their final names.
    """

    def __init__(self, folder: Path, split: str, columns: Sequence[str], nested: Iterable[str]) -> None:
        self.n_rows = 0
        self._folder, self._split = folder / "data", split
        self._columns, self._nested = list(columns), sorted(nested)
        self._digest = hashlib.sha256()
        self._waiting: list[Table] = []
        self._writer: ParquetWriter | None = None
        self._files: list[Path] = []
        self._bytes_in_file = 0
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def __enter__(self) -> "SplitFiles":
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if error[0] is None:
                self._write(self._waiting)
                self._wait()
        finally:
            self._thread.shutdown()
            if self._writer is not None:
                self._writer.close()
        for number, file in enumerate(self._files):
            file.rename(file.with_name(f"{self._split}-{number:05}-of-{len(self._files):05}.parquet"))

    def add_rows(self, rows: Sequence[Any]) -> None:
        """Write rows as `add` does; they may lack columns."""
        self.add(text_table(rows, self._columns, self._nested))

    def add(self, table: "Table") -> None:
        """Write the rows of a `text_table` that has this split's columns."""
        import pyarrow

        self.n_rows += table.num_rows
        self._update_digest(table)
        self._waiting.append(table)
        n_waiting = sum(one.num_rows for one in self._waiting)
        if n_waiting >= _ROWS_PER_GROUP:
            n_written = n_waiting - n_waiting % _ROWS_PER_GROUP
            whole = pyarrow.concat_tables(self._waiting)
            self._write([whole.slice(0, n_written)])
            self._waiting = [whole.slice(n_written)]

    def content_sha256(self) -> str:
        """Return the hex SHA-256 of the rows' values in order, which does not depend on pyarrow's version."""
        return self._digest.hexdigest()

    def _wait(self) -> None:
        """Wait for the row groups that are being written, and raise what went wrong with them."""
        if self._writing is not None:
            self._writing.result()

    def _update_digest(self, table: "Table") -> None:
        columns = []
        for name in self._columns:
            as_json = _nested_as_json if name in self._nested else encode_basestring_ascii
            columns.append(["null" if value is None else as_json(value) for value in table[name].to_pylist()])
        self._digest.update("".join(f"[{', '.join(row)}]\n" for row in zip(*columns, strict=True)).encode())

    def _write(self, tables: Sequence["Table"]) -> None:
        import pyarrow
        import pyarrow.parquet

        if not sum(table.num_rows for table in tables):
            return
        table = with_features(pyarrow.concat_tables(tables), self._nested)
        self._wait()
        if self._writer is not None and self._bytes_in_file + table.nbytes > MAX_FILE_BYTES:
            self._writer.close()
            self._writer = None
        if self._writer is None:
            self._folder.mkdir(exist_ok=True)
            self._files.append(self._folder / f"{self._split}-{len(self._files):05}.parquet")
            self._writer = pyarrow.parquet.ParquetWriter(self._files[-1], table.schema)
            self._bytes_in_file = 0
        # pyarrow compresses without the interpreter's lock, while the next rows are prepared
        self._writing = self._thread.submit(self._writer.write_table, table, row_group_size=_ROWS_PER_GROUP)
        self._bytes_in_file += table.nbytes


def _nested_as_json(value: str) -> str:
    return json.dumps(json.loads(value), ensure_ascii=True)
