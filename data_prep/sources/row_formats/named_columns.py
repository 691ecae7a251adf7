"""Formats whose columns are ours or other names of ours: they need no conversion, and the name checks the columns."""

from collections.abc import Sequence

from data_prep.conversation import UnreadableRowError
from data_prep.dataset_folder import DatasetKind
from data_prep.sources.row_formats.row_format import ForeignFormat, Row, each_row, only_by_name

_INSTRUCTIONS, _PREFERENCES = (DatasetKind.INSTRUCTIONS,), (DatasetKind.PREFERENCES,)


def _with_columns(name: str, description: str, kinds: Sequence[DatasetKind], *needed: str) -> ForeignFormat:
    def convert(row: Row, kind: DatasetKind) -> Row:  # noqa: ARG001
        if missing := next((column for column in needed if row.get(column) is None), None):
            raise UnreadableRowError(f"no_{missing}")
        return row

    return ForeignFormat(name, description, tuple(kinds), only_by_name, each_row(convert))


NAMED_COLUMNS = (
    _with_columns("alpaca", "instruction, input, output", _INSTRUCTIONS, "instruction", "output"),
    _with_columns("dolly", "instruction, context, response, category", _INSTRUCTIONS, "instruction", "response"),
    _with_columns("flan", "inputs, targets", _INSTRUCTIONS, "inputs", "targets"),
    _with_columns("question_answer", "question, answer", _INSTRUCTIONS, "question", "answer"),
    _with_columns("prompt_completion", "prompt, completion; texts or messages", _INSTRUCTIONS, "prompt", "completion"),
    _with_columns("messages", "messages as of OpenAI, with tools", _INSTRUCTIONS, "messages"),
    _with_columns("sharegpt", "conversations of from and value, with system and tools", _INSTRUCTIONS, "conversations"),
    _with_columns("pairs", "chosen and rejected, with or without a prompt", _PREFERENCES, "chosen", "rejected"),
)
