"""Make a corpus (documents for pretraining) from Python or text files, or from rows with a text column.

    python data_prep/build_corpus.py --source my_package/ --output runs/corpus

Sources are a folder of Python files (each file that parses is a document), a folder of .txt, .md and .rst files, one
such file, rows in JSON, JSONL, CSV, TSV or Parquet with a column `text` (or --column_map text=NAME), or a Hub id.

--held_out FOLDER names an instruction dataset. Training documents that contain part of its validation or test answers
(five consecutive lines), or that are one of its held-out modules, are left out. With the same --seed and sizes, a
module in the instruction dataset's test split is in the corpus's test split as well.

--output becomes a folder like that of build_instructions.py, with the column `text`.
"""

from collections.abc import Sequence
from pathlib import Path

from data_prep.cleaning import (
    filter_rows,
    reject_reason_duplicate,
    reject_reason_empty,
    reject_reason_held_out,
    sample_rows,
)
from data_prep.dataset_folder import (
    DatasetKind,
    SplitSizes,
    assign_splits,
    refuse_output,
    summary,
    write_dataset_folder,
)
from data_prep.sources import add_source_flags, command_of, read_sources
from pipelines.command_line import ArgumentParser, run_program


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(__doc__)
    add_source_flags(parser)
    parser.add_argument("--held_out", type=Path, help="an instruction dataset folder to keep out of training")
    options = parser.parse_args(arguments)
    output: Path = options.output
    sizes = SplitSizes(options.validation_size, options.test_size)
    refuse_output(output, options.overwrite)  # before the work, not after it

    content = read_sources(options, DatasetKind.CORPUS)
    kept, rejected = filter_rows(content.rows, [reject_reason_empty, reject_reason_duplicate()])
    kept, over_limit = sample_rows(kept, options.limit, options.seed)
    if options.held_out is not None:
        splits = assign_splits((row.group for row in kept), options.seed, sizes)
        kept, overlapping = filter_rows(kept, [reject_reason_held_out(options.held_out, splits)])
        rejected += overlapping
    manifest = write_dataset_folder(
        output,
        (row.columns() for row in kept),
        kind=DatasetKind.CORPUS,
        split_sizes=sizes,
        seed=options.seed,
        sources=content.entry["sources"],
        rejected=[*content.rejected, *rejected, *over_limit],
        command=command_of("build_corpus.py", arguments),
        licenses=options.license or (),
        overwrite=options.overwrite,
    )
    print(summary(manifest, output))


if __name__ == "__main__":
    run_program(main)
