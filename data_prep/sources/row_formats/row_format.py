"""What a foreign row format is: how its rows are recognized, and how they become rows in our columns."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.conversation import ALIASES, UnreadableRowError
from data_prep.dataset_folder import DatasetKind

Row = Mapping[str, Any]
_FITTING_SHARE = 0.9
NumberedRow = tuple[str, Row]  # (source_row, row)
ConvertedRow = tuple[str, Row | str]  # a row in our columns, or a reject reason


@dataclass(frozen=True)
class ForeignFormat:
    """A format of rows whose columns do not stand for ours one by one, such as message trees.

    `recognizes` gets the columns of a file's first rows and these rows. `convert` streams: it gets (source_row, row)
    and yields (source_row, row in our columns) or (source_row, reject reason). A converted row keeps the columns that
    the format does not read, so that they are kept or counted like those of any other row.
    """

    name: str
    description: str
    kinds: tuple[DatasetKind, ...]
    recognizes: Callable[[Sequence[str], Sequence[Row]], bool]
    convert: Callable[[Iterable[NumberedRow], DatasetKind], Iterator[ConvertedRow]]
    whole_file_for: tuple[DatasetKind, ...] = ()  # rows depend on others of their file, which is read in one piece


def asks_and_answers(columns: Sequence[str]) -> bool:
    """Whether a file has columns for a request and its answer: these win over any other that it has."""
    asks = any(name in columns for name in (*ALIASES["instruction"], *ALIASES["input"]))
    return asks and any(name in columns for name in ALIASES["output"])


def fits_nearly_all(head: Sequence[Row], fits: Callable[[Row], object]) -> bool:
    """Whether `fits` is true of nearly all first rows: a few bad rows do not hide a format, and are rejected.

    A row that raises `UnreadableRowError` does not fit.
    """
    n_fitting = 0
    for row in head:
        try:
            n_fitting += bool(fits(row))
        except UnreadableRowError:
            continue
    return n_fitting > 0 and n_fitting >= _FITTING_SHARE * len(head)


def only_by_name(columns: Sequence[str], head: Sequence[Row]) -> bool:  # noqa: ARG001
    """Recognize nothing: the format is chosen by its name."""
    return False


def each_row(convert: Callable[[Row, DatasetKind], Row]) -> Callable[..., Iterator[ConvertedRow]]:
    """Return the `convert` of a format whose rows are converted one by one.

    The function raises `UnreadableRowError` with the reject reason.
    """

    def stream(rows: Iterable[NumberedRow], kind: DatasetKind) -> Iterator[ConvertedRow]:
        for source_row, row in rows:
            try:
                yield source_row, convert(row, kind)
            except UnreadableRowError as error:
                yield source_row, str(error)

    return stream


def first_of(row: Row, names: Iterable[str]) -> Any:
    """Return the value of the first of these columns that has one."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def without(row: Row, read: Iterable[str]) -> dict[str, Any]:
    """Return the columns of `row` that a format does not read."""
    return {name: value for name, value in row.items() if name not in read}


def is_true(value: Any) -> bool:
    """Whether a truth value is true, in JSON, CSV or Parquet."""
    return value is True or value == 1 or str(value).strip().lower() in ("true", "1", "1.0")


def is_false(value: Any) -> bool:
    """Whether a truth value is false; a missing value is neither true nor false."""
    return value is False or value == 0 or str(value).strip().lower() in ("false", "0", "0.0")


def number(value: Any) -> float | None:
    """Return a number, also from its text; None for a missing or other value, NaN included."""
    try:
        read = float(value)
    except (TypeError, ValueError):
        return None
    return read if read == read else None
