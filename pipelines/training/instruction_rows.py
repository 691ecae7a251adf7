"""The rows that a recipe names: a dataset folder of ours, a local file, or a Hub dataset at a revision."""

from pathlib import Path

import datasets
from datasets import Dataset

from data_prep.dataset_folder import is_dataset_folder, read_dataset_folder, read_rows
from pipelines.errors import UserError
from pipelines.files import sha256_of_text
from pipelines.recipe import DataArguments

_COLUMNS = ("instruction", "input", "output")


def instruction_rows(arguments: DataArguments, *, evaluates: bool) -> tuple[Dataset, Dataset | None]:
    """Training and evaluation rows with the columns instruction, input and output (strings).

    Raises `UserError` for a missing dataset, a missing column, or an evaluation that has no split to run on.
    """
    if not arguments.dataset_name:
        raise UserError(
            expected="dataset_name in the recipe", got="none", remedy="name a dataset folder, a JSONL file or a Hub id"
        )
    train = _split(arguments, arguments.dataset_train_split)
    held_out = _split(arguments, arguments.dataset_test_split) if evaluates else None
    return train, held_out


def _split(arguments: DataArguments, split: str) -> Dataset:
    path = Path(str(arguments.dataset_name))
    if is_dataset_folder(path):
        rows = read_dataset_folder(path, split)
    elif path.is_file():
        if split != arguments.dataset_train_split:
            raise UserError(
                expected=f"a dataset with the split {split} to evaluate on while training",
                got=f"the single file {path}",
                remedy="build a dataset folder from it (data_prep/build_instructions.py) or set eval_strategy: 'no'",
            )
        rows = Dataset.from_list(
            [{column: row.get(column) or "" for column in _COLUMNS} for row in read_rows(path, None)]
        )
    else:
        rows = _hub_split(arguments, split)
    return _with_columns(rows, str(arguments.dataset_name))


def _hub_split(arguments: DataArguments, split: str) -> Dataset:
    try:
        return datasets.load_dataset(
            arguments.dataset_name, arguments.dataset_config, split=split, revision=arguments.dataset_revision
        )
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise UserError(
            expected=f"a dataset folder, a file or a Hub dataset named {arguments.dataset_name} with the split {split}",
            got=str(error).strip().split("\n")[0][:200],
            remedy="check the path, or the Hub id and the network",
        ) from error


def _with_columns(rows: Dataset, name: str) -> Dataset:
    missing = [column for column in ("instruction", "output") if column not in rows.column_names]
    if missing:
        raise UserError(
            expected=f"the columns instruction, input and output in {name}",
            got=", ".join(rows.column_names),
            remedy="map them with data_prep/build_instructions.py --column_map instruction=...,output=...",
        )
    if "input" not in rows.column_names:
        rows = rows.add_column("input", [""] * len(rows))
    return rows.select_columns(list(_COLUMNS))


def dataset_fingerprint(rows: Dataset) -> str:
    """`sha256:...` over the rows' columns in order: the same rows give the same fingerprint wherever they came from."""
    parts = (f"{row['instruction']}\x1e{row['input']}\x1e{row['output']}\x1d" for row in rows)
    return f"sha256:{sha256_of_text(''.join(parts))}"
