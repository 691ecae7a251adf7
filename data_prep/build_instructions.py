"""Make a dataset of instructions or of conversations from rows or from Python sources.

    python data_prep/build_instructions.py --source my_package/ --output runs/instructions

A laptop needs a minute for the standard library. Sources are
  - JSON, JSONL, CSV and Parquet rows (also .json.gz), with columns instruction, input, output or names that mean the
    same (prompt, question; context; response, answer, completion), or any names with
    --column_map instruction=question,output=answer; with messages or conversations (ShareGPT), or with a prompt and
    completion of messages; and system, history, tools and chat_template_kwargs beside them;
  - a folder of Python files, or one: every function with a docstring becomes a row that asks for it in plain words;
  - a dataset on the Hub, as owner/name or owner/name@revision.

--output becomes a folder with data/{train,validation,test}-*.parquet, a dataset card, rejected.jsonl (every row left
out, with its reason) and manifest.json. Its kind is `conversations` (columns messages, tools, chat_template_kwargs) if
any row has messages, a history or tools, else `instructions` (instruction, input, output and, where a row has one,
system).

Columns that compare.py reads are kept: category, references, numeric_answer, constraints, tests, and those of IFEval,
MBPP and HumanEval. Any other column is left out, and reported with the number of rows that have a value there.

All rows of one group (a Python module; the row's own `group`; else equal first questions) are in one split, and a
group's split depends only on its name, the seed and the sizes. In validation and test no group has more than a tenth
of the rows (from ten groups on): more are rejected as over_group_limit. A row's own `source` is kept too.
"""

from collections.abc import Sequence
from pathlib import Path

from data_prep.cleaning import (
    filter_rows,
    reject_reason_duplicate,
    reject_reason_empty,
    reject_reason_too_long,
    sample_rows,
)
from data_prep.dataset_folder import DatasetKind, SplitSizes, refuse_output, summary, write_dataset_folder
from data_prep.sources import add_source_flags, command_of, in_one_kind, positive, read_sources
from pipelines.command_line import ArgumentParser, run_program


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(__doc__)
    add_source_flags(parser)
    parser.add_argument("--max_output_chars", type=positive, help="leave out rows with longer outputs (off)")
    options = parser.parse_args(arguments)
    output: Path = options.output
    sizes = SplitSizes(options.validation_size, options.test_size)
    refuse_output(output, options.overwrite)  # before the work, not after it

    content = read_sources(options, DatasetKind.INSTRUCTIONS)
    kind, rows = in_one_kind(content.rows)
    reasons = [reject_reason_empty, reject_reason_too_long(options.max_output_chars), reject_reason_duplicate()]
    kept, rejected = filter_rows(rows, reasons)
    kept, over_limit = sample_rows(kept, options.limit, options.seed)
    manifest = write_dataset_folder(
        output,
        (row.columns() for row in kept),
        kind=kind,
        split_sizes=sizes,
        seed=options.seed,
        sources=content.entry["sources"],
        rejected=[*content.rejected, *rejected, *over_limit],
        command=command_of("build_instructions.py", arguments),
        licenses=options.license or (),
        overwrite=options.overwrite,
    )
    print(summary(manifest, output))


if __name__ == "__main__":
    run_program(main)
