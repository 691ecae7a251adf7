"""Make a dataset of instructions or conversations from rows or Python sources.

    python data_prep/build_instructions.py --source my_package/ --output runs/instructions

A laptop needs half a minute for the standard library. Sources are
  - JSON, JSONL, CSV, TSV, Parquet and Arrow rows (text also as .gz, .zst or .xz), with columns instruction, input and
    output, or common other names (prompt, question; context; response, answer, completion), or any names with
    --column_map instruction=question,output=answer; or with messages, conversations (ShareGPT), or a prompt and
    completion of messages; and optionally system, history, tools and chat_template_kwargs;
  - rows of OpenAssistant, KTO, HH-RLHF, UltraFeedback, Natural Instructions and others (see data_prep/README.md);
  - a folder of Python files, or one file: every function with a docstring becomes a row that asks for it;
    --format python_classes adds classes, --format git reads only what git tracks;
  - Markdown files: a heading that asks a question, with the text below it as the answer;
  - a dataset on the Hub, as owner/name or owner/name@revision.

--output becomes a folder with data/{train,validation,test}-*.parquet, a dataset card, rejected.jsonl (every row left
out, with its reason) and manifest.json. Its kind is `conversations` (columns messages, tools, chat_template_kwargs) if
any row has messages, a history or tools, else `instructions` (instruction, input, output, and system if a row has one).

Rows are cleaned by the default steps of data_prep/README.md, or by those of --steps FILE: each rejects a row with a
reason, or changes it with a count (changed.jsonl). Exact and near duplicates are left out, and with --decontaminate
rows of an evaluation set. --preview 5 prints five rows before and after. --mixture FILE names sources with weights.

Columns that compare.py reads are kept: category, references, numeric_answer, constraints, tests, source, and those of
IFEval, MBPP and HumanEval. Any other column is dropped, and reported with the number of rows that have a value in it.

All rows of a group (a Python module; the row's own `group`; else equal first questions) are in one split. A group's
split depends only on its name, the seed and the sizes. In validation and test, no group has more than a tenth of the
rows (if there are ten or more): the others are rejected as over_group_limit.
"""

from collections.abc import Sequence
from functools import partial

from data_prep.building.build import build_dataset
from data_prep.building.flags import add_build_flags
from data_prep.dataset_folder import DatasetKind
from data_prep.sources import add_source_flags, command_of
from pipelines.command_line import ArgumentParser, positive_number, run_program


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, clean, split and write the rows."""
    parser = ArgumentParser(__doc__)
    add_source_flags(parser)
    add_build_flags(parser)
    parser.add_argument("--max_output_chars", type=positive_number, help="leave out rows with longer outputs (off)")
    options = parser.parse_args(arguments)
    build = partial(build_dataset, options, DatasetKind.INSTRUCTIONS, command_of("build_instructions.py", arguments))
    if options.push_to_hub:
        from pipelines.hub.dataset_upload import build_and_push

        build_and_push(build, options.output, options.push_to_hub, private=not options.public)
    else:
        build()


if __name__ == "__main__":
    run_program(main)
