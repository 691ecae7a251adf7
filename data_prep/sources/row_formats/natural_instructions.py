"""Natural Instructions: a task's definition with its instances, as one object or as one row for each instance."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from data_prep.conversation import UnreadableRowError, scalar_text
from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats.row_format import ConvertedRow, ForeignFormat, NumberedRow, Row, first_of, without

_DEFINITIONS = ("definition", "Definition")
_INPUTS, _OUTPUTS = ("input", "inputs"), ("output", "targets", "target")
# of a task file; its instances are the rows
_OF_A_TASK = (*_DEFINITIONS, "Instances", "Positive Examples", "Negative Examples")


def _recognizes(columns: Sequence[str], head: Sequence[Row]) -> bool:  # noqa: ARG001
    if "instruction" in columns:
        return False
    has_outputs = any(name in columns for name in _OUTPUTS)
    return any(name in columns for name in _DEFINITIONS) and (has_outputs or "Instances" in columns)


def _convert(rows: Iterable[NumberedRow], kind: DatasetKind) -> Iterator[ConvertedRow]:  # noqa: ARG001
    for source_row, row in rows:
        instances = row.get("Instances")
        if not isinstance(instances, list):
            yield source_row, _converted(row, row)
            continue
        for place, instance in enumerate(instances, start=1):
            where = f"{source_row}:{place}"
            yield where, _converted(row, instance) if isinstance(instance, Mapping) else "instance_is_no_object"


def _converted(task: Row, instance: Row) -> Row | str:
    given = first_of(instance, _INPUTS)
    try:
        written = _texts(first_of(instance, _OUTPUTS))
        request = "\n".join(_texts(first_of(task, _DEFINITIONS)))
    except UnreadableRowError as error:
        return str(error)
    others = without(instance, (*_OF_A_TASK, *_INPUTS, *_OUTPUTS))
    references = {"references": written} if len(written) > 1 else {}
    return {**others, "instruction": request, "input": given, "output": written[0] if written else "", **references}


def _texts(value: Any) -> list[str]:
    """Return one text, or a list of texts, as a list. Raises `UnreadableRowError` for anything else."""
    values = value if isinstance(value, list) else [value]
    if any(isinstance(one, list | Mapping) for one in values):
        raise UnreadableRowError("output_is_not_text")
    return [scalar_text(one) for one in values]


NATURAL_INSTRUCTIONS = ForeignFormat(
    "natural_instructions",
    "a definition, inputs and targets; or a task file with Definition and Instances",
    (DatasetKind.INSTRUCTIONS,),
    _recognizes,
    _convert,
)
