r"""Measure perplexity and bits per byte of one or more models on the same documents, with 95% intervals.

    python pipelines/perplexity.py --model_name_or_path recipes/quickstart/base --dataset data/python-instructions

    python pipelines/perplexity.py --model_name_or_path BASE --model_name_or_path BASE --adapter runs/my-instruct \
        --dataset DATASET_FOLDER --split test --scope response --scope text --output perplexity.json

Input: models (folder, org/name or org/name@revision), the base first, and documents: a dataset folder, a JSON, JSONL,
CSV, Parquet or text file, or a Hub id. --adapter belongs to the model before it, so give the base twice to measure
it without and with the adapter. Output: a table with paired differences from the first model and, with --output, the
record perplexity.json. Models share one base in memory. With `accelerate launch` several processes share the work.

Scope `text` scores all tokens of `text` (or of `output`), the first one given the token that begins a document (BOS,
else <|endoftext|>, else EOS). Scope `response` scores the tokens of each trained turn given everything before it,
without the end token, so that all models are measured on the same bytes. A model with a chat template gets that (or
--chat_template). The first model, and each model without a template, get the plain prompt and the chat template of the
last model that has one. Rows of `prompt` and `completion` texts are given unchanged.

A text file is one document; --text_documents splits it. Long documents are read in overlapping windows. To get the
figures of lm-evaluation-harness with max_length M, use --window M+1 --stride M, and add_bos_token=False there if the
tokenizer adds BOS; its byte perplexity is 2 to the power of bits per byte. Compare models with different tokenizers by
bits per byte.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.command_line import ArgumentParser, add_dtype, positive_number, run_program


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
    from pipelines.evaluation.likelihood.documents import Scope, TextDocuments, read_dataset, refuse_without_sources
    from pipelines.evaluation.prompts.given_template import GivenTemplate
    from pipelines.files import refuse_existing, refuse_unwritable, write_json_atomically
    from pipelines.hub.model_ref import resolve_model

    if options.output:
        refuse_existing(options.output)
        refuse_unwritable(options.output.parent)
    models = [resolve_model(model, adapter) for model, adapter in options.models]
    dataset = read_dataset(
        options.dataset,
        options.split,
        config=options.dataset_config,
        revision=options.dataset_revision,
        text_documents=TextDocuments(options.text_documents),
    ).limited(options.limit, options.seed)
    scopes = [Scope(scope) for scope in dict.fromkeys(options.scope)] or dataset.default_scopes()
    documents = {scope: dataset.in_scope(scope) for scope in scopes}
    if options.by_source:
        refuse_without_sources(documents.values())
    template = GivenTemplate.read(options.chat_template)
    from pipelines.evaluation.perplexity.measurement import Reading, measure
    from pipelines.evaluation.perplexity.record import perplexity_record, table
    from pipelines.inference.processes import is_main_process

    reading = Reading(options.batch_size, options.window, options.stride, options.dtype, template)
    measurements = measure(models, documents, reading)
    if not is_main_process():
        return
    record = perplexity_record(measurements, reading, dataset.description, options.seed, by_source=options.by_source)
    print(table(record))
    if options.output:
        write_json_atomically(options.output, record)
        print(f"record written to {options.output}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(__doc__)
    parser.set_defaults(models=[])
    add = parser.add_argument
    again = "folder, org/name or org/name@revision; repeatable"
    add("--model_name_or_path", action=_AddModel, required=True, metavar="MODEL", help=again)
    add("--adapter", action=_AddModel, help="adapter for the model named before it: folder or Hub id")
    add("--dataset", required=True, metavar="PATH_OR_HUB_ID", help="documents or instruction rows")
    add("--dataset_config", metavar="NAME", help="configuration of a Hub dataset")
    add("--dataset_revision", metavar="REVISION", help="commit, tag or branch of a Hub dataset")
    add("--split", default="test", help="split of a dataset folder or Hub dataset (default test)")
    add("--text_documents", default="file", choices=["file", "paragraph", "line"], help="how to split a text file")
    scopes = ["text", "response"]
    add("--scope", action="append", default=[], choices=scopes, help="repeat for both (default: depends on the rows)")
    add("--by_source", action="store_true", help="add figures for each `source` of the rows")
    add("--batch_size", type=positive_number, metavar="N", help="most rows at a time (default: by their length)")
    longest = "tokens read at once (default: the model's context)"
    add("--window", type=positive_number, metavar="TOKENS", help=longest)
    add("--stride", type=positive_number, metavar="TOKENS", help="step between windows (default: half the window)")
    add("--chat_template", metavar="T", help="replaces the models' own: .jinja file or tokenizer folder")
    add_dtype(parser, "float64")
    add("--seed", type=int, default=0, help="seed of the bootstrap and of --limit (default 0)")
    drawn = "measure N rows drawn with the seed (for a single text: its first N passages)"
    add("--limit", type=positive_number, metavar="N", help=drawn)
    add("--output", type=Path, metavar="FILE.json", help="where to write the record")
    return parser


if __name__ == "__main__":
    run_program(main)
