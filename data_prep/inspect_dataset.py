"""Show what is in a dataset folder: counts, lengths, languages, rejects by reason, changes, near duplicates.

    python data_prep/inspect_dataset.py data/my-chats --output my-chats.html

FOLDER is the output of build_instructions.py, build_preferences.py or build_corpus.py. The terminal shows a summary;
--output writes one HTML page with everything, which opens anywhere without a network. Both begin with what looks wrong:
a question of the test split that is also in train, a split with under 10 groups, a source that lost over half of its
rows for one reason, one answer in over a tenth of the rows, a few rows in another language.

Examples of rejected and changed rows are chosen by --seed; to judge a cleaning step, read --examples 30. The pairs of
near duplicates begin with the least similar ones, where a false one would be. Languages are those of 1,000 sampled
answers. The folder is read in batches: 50,000 rows take some seconds, and memory grows by 40 bytes for each row.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.command_line import ArgumentParser, positive_number, run_program
from pipelines.errors import UserError


def main(arguments: Sequence[str] | None = None) -> None:
    """Inspect, print, and write the page."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the dataset folder")
    parser.add_argument("--output", type=Path, metavar="PAGE.html", help="also write everything as one HTML page")
    parser.add_argument(
        "--examples",
        type=positive_number,
        default=3,
        metavar="N",
        help="rejects and changes of each kind on the page (3)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the examples and of the language sample (0)")
    parser.add_argument("--overwrite", action="store_true", help="replace the page at --output")
    options = parser.parse_args(arguments)

    from data_prep.dataset_folder import read_manifest
    from pipelines.files import refuse_existing, refuse_unwritable

    read_manifest(options.folder)
    if options.output:
        if options.output.is_dir():
            raise UserError(f"--output {options.output} is a folder", "name a file such as page.html")
        if not options.overwrite:
            refuse_existing(options.output, "choose another --output or add --overwrite")
        refuse_unwritable(options.output.parent)

    from data_prep.inspection.console import print_inspection
    from data_prep.inspection.inspecting import inspect_folder
    from data_prep.inspection.page import write_page

    found = inspect_folder(options.folder, options.seed, options.examples)
    print_inspection(found, sys.stdout)
    if options.output:
        write_page(found, options.output)
        print(f"\n{options.output}")


if __name__ == "__main__":
    run_program(main)
