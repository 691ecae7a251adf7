"""Make a preference dataset, pairs of a chosen and a rejected answer, for dpo.py.

    python data_prep/build_preferences.py --source pairs.jsonl --output runs/preferences

Sources are JSON, JSONL, CSV, TSV, Parquet and Arrow rows (text also as .gz, .zst or .xz), or a dataset on the Hub as
owner/name or owner/name@revision. Columns: instruction (or prompt, question, conversations), input (or context;
optional), chosen and rejected, or any names with --column_map instruction=question,chosen=better,rejected=worse; and
optionally system, tools and chat_template_kwargs. A prompt is a text or messages. An answer is a text, a message
({"content": ...} or {"value": ...}), or messages that end with the assistant's. If any pair has several turns or tools,
the folder has the columns prompt, chosen and rejected as messages, else instruction, input, chosen and rejected. Rows
of OpenAssistant, KTO, HH-RLHF and UltraFeedback become pairs (see data_prep/README.md).

--output becomes a folder with data/{train,validation,test}-*.parquet, a dataset card, rejected.jsonl (every row left
out, with its reason, such as chosen_equals_rejected) and manifest.json. All pairs of one instruction are in one split,
which depends only on the instruction, the seed and the sizes.
"""

from collections.abc import Sequence
from functools import partial

from data_prep.building.build import build_dataset
from data_prep.building.flags import add_build_flags
from data_prep.dataset_folder import DatasetKind
from data_prep.sources import add_source_flags, command_of
from pipelines.command_line import ArgumentParser, positive_number, run_program


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, clean, split and write the pairs."""
    parser = ArgumentParser(__doc__)
    add_source_flags(parser)
    add_build_flags(parser)
    parser.add_argument("--max_output_chars", type=positive_number, help="leave out pairs with a longer answer (off)")
    options = parser.parse_args(arguments)
    build = partial(build_dataset, options, DatasetKind.PREFERENCES, command_of("build_preferences.py", arguments))
    if options.push_to_hub:
        from pipelines.hub.dataset_upload import build_and_push

        build_and_push(build, options.output, options.push_to_hub, private=not options.public)
    else:
        build()


if __name__ == "__main__":
    run_program(main)
