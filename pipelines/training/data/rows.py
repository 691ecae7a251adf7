"""Load a recipe's rows: a dataset folder, a local file, a Hub dataset at a revision, or a mixture."""

import hashlib
import json
import sys
from pathlib import Path

from datasets import Dataset

from data_prep.dataset_folder import combined, is_dataset_folder, load_rows, read_manifest
from pipelines.errors import UserError
from pipelines.recipe.arguments import DataArguments, MixturePart

_OTHER_HELD_OUT = ("validation", "test")  # the second is what `trl sft` evaluates on when a recipe names no split


def recipe_rows(arguments: DataArguments, seed: int, *, evaluates: bool) -> tuple[Dataset, Dataset | None]:
    """Load training and held-out rows with all columns; held-out rows only if the recipe `evaluates`.

    A mixture is concatenated, cut to its `fraction`s and split with `seed`, the same on every rank. Raises `UserError`
    for a missing dataset or split.
    """
    if arguments.streaming or arguments.dataset_streaming:
        raise UserError(
            "streaming is for corpora: these rows are counted before training",
            "remove streaming, or stream a corpus with pipelines/pretrain.py",
        )
    if arguments.datasets:
        return _split_mixture(_mixture(arguments), arguments, seed, evaluates)
    if not arguments.dataset_name:
        raise UserError(
            "dataset_name or datasets is missing in the recipe", "name a dataset folder, a JSONL file or a Hub id"
        )
    one = MixturePart(
        path=arguments.dataset_name, name=arguments.dataset_config, revision=arguments.dataset_revision
    )  # fmt: skip
    if evaluates and arguments.test_split_size is not None:
        return _split_mixture(_rows_of(one, arguments.dataset_train_split), arguments, seed, evaluates)
    train = _rows_of(one, arguments.dataset_train_split)
    return train, _held_out(one, arguments.dataset_test_split) if evaluates else None


def has_held_out_rows(arguments: DataArguments) -> bool:
    """Whether the dataset folder of a recipe has rows to evaluate on, used or not."""
    path = Path(str(arguments.dataset_name))
    if not arguments.dataset_name or not is_dataset_folder(path):
        return False
    return bool(read_manifest(path)["n_rows"].get(arguments.dataset_test_split))


def rows_fingerprint(rows: Dataset) -> str:
    """`sha256:...` over the rows' values in order, whatever their source."""
    digest = hashlib.sha256()
    for number, row in enumerate(rows):
        text = json.dumps(row, sort_keys=True, ensure_ascii=True, default=str)
        digest.update(f"\n{text}".encode() if number else text.encode())
    return f"sha256:{digest.hexdigest()}"


def _mixture(arguments: DataArguments) -> Dataset:
    """TRL's mixture: parts concatenated; with `fraction`s, the first rows of each, so that no row is drawn twice."""
    parts = [part for part in arguments.datasets if isinstance(part, MixturePart)]
    if any(part.weight is not None for part in parts):
        raise UserError(
            "datasets has a weight, which is the share of tokens in a pretraining mixture", "write fraction"
        )
    loaded = [_rows_of(part, part.split) for part in parts]
    fractions = [part.fraction for part in parts]
    if any(fraction is not None for fraction in fractions):
        known = [fraction for fraction in fractions if fraction is not None and fraction > 0]
        if len(known) < len(parts):
            raise UserError(
                f"fraction is {', '.join(map(str, fractions))}, expected above 0 for every entry of datasets or none",
                "give each entry a fraction",
            )
        shares = [fraction / sum(known) for fraction in known]
        total = min(len(rows) / share for rows, share in zip(loaded, shares, strict=True))
        loaded = [rows.select(range(round(share * total))) for rows, share in zip(loaded, shares, strict=True)]
    return combined([(part.path, rows) for part, rows in zip(parts, loaded, strict=True)])


def _split_mixture(
    rows: Dataset, arguments: DataArguments, seed: int, evaluates: bool
) -> tuple[Dataset, Dataset | None]:
    if not evaluates and arguments.test_split_size is None:
        return rows, None
    size = arguments.test_split_size
    n_held_out = 0 if size is None else round(size * len(rows)) if size < 1 else int(size)
    if not 0 < n_held_out < len(rows):
        raise UserError(
            f"test_split_size {size} holds out {n_held_out} of {len(rows)} rows, expected 1 or more, but not all",
            "set test_split_size: 0.05, or eval_strategy: 'no'",
        )
    parts = rows.train_test_split(test_size=n_held_out, seed=seed)
    return parts["train"], parts["test"] if evaluates else None


def _held_out(part: MixturePart, split: str) -> Dataset:
    path = Path(part.path)
    if path.is_file():
        raise UserError(
            f"{path} is a single file without the split {split} to evaluate on",
            "set test_split_size: 0.05, build a dataset folder from it (data_prep/build_instructions.py), or set "
            "eval_strategy: 'no'",
        )
    try:
        return _rows_of(part, split)
    except UserError:
        other = next((name for name in _OTHER_HELD_OUT if name != split), None)
        if is_dataset_folder(path) or other is None or split not in _OTHER_HELD_OUT:
            raise
        rows = _rows_of(part, other)
        print(f"{part.path} has no split {split}: evaluating on {other}", file=sys.stderr, flush=True)
        return rows


def _rows_of(part: MixturePart, split: str) -> Dataset:
    rows = load_rows(
        part.path, split, name=part.name, revision=part.revision, data_dir=part.data_dir, data_files=part.data_files
    )
    if part.columns is None:
        return rows
    missing = [column for column in part.columns if column not in rows.column_names]
    if missing:
        raise UserError(
            f"{part.path} has the columns {', '.join(rows.column_names)}, expected {', '.join(part.columns)}",
            "correct `columns` in the datasets entry",
        )
    return rows.select_columns(part.columns)
