r"""Perplexity and bits per byte of one or more models on the same documents, with 95% intervals and paired differences.

    python pipelines/perplexity.py --model_name_or_path recipes/quickstart/base --dataset data/python-instructions

    python pipelines/perplexity.py --model_name_or_path BASE --model_name_or_path BASE --adapter runs/my-instruct \
        --dataset DATASET_FOLDER --split test --scope response --scope text --output perplexity.json

In: models (folders or Hub ids; --adapter belongs to the model named before it, so give the base twice to measure it
without and with its adapter), the base first, and a dataset folder or a JSON, JSONL, CSV or Parquet file. Out: a table
and, with --output, the record perplexity.json.

Scope `text` scores all tokens of `text` (or of `output`); scope `response` scores the answer's tokens given its prompt,
without the end token, so that all models are measured on the same bytes. A model with a chat template is given that;
the first model, and each model without a template, are given the plain prompt and the chat template of the last model
that has one. Long documents are read in overlapping windows. Compare models of different tokenizers by bits per byte.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.command_line import ArgumentParser, run_program


class _AddModel(argparse.Action):
    """--model_name_or_path begins an entry of `models`, --adapter completes the last one."""

    def __call__(self, parser: Any, namespace: Any, values: Any, *_: Any) -> None:
        if self.dest == "model_name_or_path":
            namespace.models.append((values, None))
        elif namespace.models and namespace.models[-1][1] is None:
            namespace.models[-1] = (namespace.models[-1][0], values)
        else:
            parser.error(f"--adapter {values} without a --model_name_or_path of its own before it")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the record."""
    options = _parser().parse_args(arguments)

    from data_prep.dataset_folder import read_rows
    from pipelines.evaluation.model_choice import ModelChoice
    from pipelines.evaluation.perplexity_measurement import (
        Reading,
        Scope,
        default_scopes,
        documents_in_scope,
        drawn_rows,
        measure,
    )
    from pipelines.evaluation.perplexity_record import describe_dataset, perplexity_record, table
    from pipelines.files import refuse_existing, write_json_atomically

    if options.output:
        refuse_existing(options.output)
    rows = drawn_rows(read_rows(options.dataset, options.split), options.limit, options.seed)
    scopes = [Scope(scope) for scope in dict.fromkeys(options.scope)] or default_scopes(rows)
    documents = {scope: documents_in_scope(rows, scope, str(options.dataset)) for scope in scopes}
    dataset = describe_dataset(options.dataset, options.split)
    reading = Reading(options.batch_size, options.window, options.stride)
    measurements = measure([ModelChoice(*model) for model in options.models], documents, reading)
    record = perplexity_record(measurements, reading, dataset, options.seed)
    print(table(record))
    if options.output:
        write_json_atomically(options.output, record)
        print(f"record written to {options.output}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(__doc__)
    parser.set_defaults(models=[])
    add = parser.add_argument
    add(
        "--model_name_or_path",
        action=_AddModel,
        required=True,
        metavar="MODEL",
        help="folder or Hub id; again for more",
    )
    add("--adapter", action=_AddModel, help="adapter folder for the model named before it")
    add("--dataset", type=Path, required=True, metavar="FOLDER_OR_FILE", help="documents or instruction rows")
    add("--split", default="test", choices=["train", "validation", "test"], help="of a dataset folder (default test)")
    add(
        "--scope",
        action="append",
        default=[],
        choices=["text", "response"],
        help="again for both; by the rows if absent",
    )
    add("--batch_size", type=_positive, default=8, metavar="N", help="rows at a time (default 8)")
    add("--window", type=_positive, metavar="TOKENS", help="longest piece read at once (default: the model's limit)")
    add("--stride", type=_positive, metavar="TOKENS", help="by which windows advance (default: half of the window)")
    add("--seed", type=int, default=0, help="of the bootstrap and of --limit (default 0)")
    add("--limit", type=_positive, metavar="N", help="measure N rows, drawn with the seed")
    add("--output", type=Path, metavar="FILE.json", help="where to write the record")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


if __name__ == "__main__":
    run_program(main)
