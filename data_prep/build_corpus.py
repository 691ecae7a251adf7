"""Make a corpus (documents for pretraining) from Python or text files, or from rows with a text column.

    python data_prep/build_corpus.py --source my_package/ --output runs/corpus

Sources are a folder of Python files (each file that parses is a document), a folder of .txt, .md and .rst files, one
such file, rows in any format of data_prep/README.md with a column `text` (or --column_map text=NAME), or a Hub id; with
--format git the files that git tracks, with --format html web pages, with --format text_lines a document a line.

--held_out FOLDER names an instruction dataset. Training documents that contain part of its validation or test answers
(five consecutive lines), or that are one of its held-out modules, are left out. With the same --seed and sizes, a
module in the instruction dataset's test split is in the corpus's test split as well.

--executor local, ray or slurm hands the build to datatrove (extra `scale`): tasks read and clean parts of the sources,
and MinHash finds near duplicates if --steps names near_duplicates. The folder is the same for any executor and number
of tasks. See data_prep/README.md.

--output becomes a folder like that of build_instructions.py, with the column `text`.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from data_prep.building.build import build_dataset
from data_prep.building.flags import add_build_flags
from data_prep.dataset_folder import DatasetKind
from data_prep.scaling import add_executor_flags
from data_prep.sources import add_source_flags, command_of
from pipelines.command_line import ArgumentParser, run_program


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, clean, split and write the documents."""
    parser = ArgumentParser(__doc__)
    add_source_flags(parser)
    add_build_flags(parser)
    add_executor_flags(parser)
    parser.add_argument("--held_out", type=Path, help="an instruction dataset folder to keep out of training")
    options = parser.parse_args(arguments)
    build = partial(build_dataset, options, DatasetKind.CORPUS, command_of("build_corpus.py", arguments))
    if options.push_to_hub:
        from pipelines.hub.dataset_upload import build_and_push

        build_and_push(build, options.output, options.push_to_hub, private=not options.public)
    else:
        build()


if __name__ == "__main__":
    run_program(main)
