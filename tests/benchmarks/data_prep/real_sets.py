"""Build every set of ../shared/data with the default steps, and print what was kept, left out and changed.

    python -m tests.benchmarks.data_prep.real_sets
    python -m tests.benchmarks.data_prep.real_sets --only alpaca --keep build/real-sets

Out: a Markdown table with a line for each set. --keep leaves the dataset folders for inspect_dataset.py.
"""

import argparse
import contextlib
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from data_prep import build_corpus, build_instructions, build_preferences
from data_prep.dataset_folder import read_manifest
from pipelines.errors import UserError

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"
DEMOS = "llamafactory-demos"
Program = Callable[[Sequence[str]], None]
SETS: dict[str, tuple[Program, str]] = {
    "alpaca": (build_instructions.main, "alpaca-52k/alpaca_data.json.gz"),
    "dolly": (build_instructions.main, "splits/dolly_dev.jsonl"),
    "gpteacher": (build_instructions.main, "gpteacher/codegen-instruct.json"),
    "llms-from-scratch": (build_instructions.main, "llms-from-scratch/instruction-data.json"),
    "llms-from-scratch pairs": (build_preferences.main, "llms-from-scratch/instruction-data-with-preference.json"),
    "oasst1-en (texts alone)": (build_corpus.main, "oasst1-en/en-train-messages.jsonl.gz"),
    "alpaca_en_demo": (build_instructions.main, f"{DEMOS}/alpaca_en_demo.json"),
    "identity": (build_instructions.main, f"{DEMOS}/identity.json"),
    "glaive_toolcall": (build_instructions.main, f"{DEMOS}/glaive_toolcall_en_demo.json"),
    "dpo_en_demo": (build_preferences.main, f"{DEMOS}/dpo_en_demo.json"),
    "kto_en_demo": (build_instructions.main, f"{DEMOS}/kto_en_demo.json"),
    "c4_demo": (build_corpus.main, f"{DEMOS}/c4_demo.jsonl"),
    "wiki_demo": (build_corpus.main, f"{DEMOS}/wiki_demo.txt"),
    "TheAlgorithms": (build_corpus.main, "python-thealgorithms/files.jsonl"),
    "Gutenberg": (build_corpus.main, "gutenberg"),
    "TinyStories": (build_corpus.main, "splits/tinystories_dev.jsonl"),
    "children's stories": (build_corpus.main, "splits/childrens_dev.jsonl"),
    "wikitext2": (build_corpus.main, "wikitext2/wiki.valid.raw"),
    "tinyshakespeare": (build_corpus.main, "tinyshakespeare/input.txt"),
}


def flags_of(path: str) -> list[str]:
    """Return the flags of one set; identity.json is a template to fill in, and nearly all of it is left out."""
    return ["--source", str(SHARED / path), "--overwrite", "--max_removed_share", "1"]


def line_of(name: str, folder: Path) -> str:
    """Return the table's line about one built folder."""
    manifest = read_manifest(folder)
    steps = [f"{what} {n:,}" for what, n in manifest["n_rejected"].items()]
    changes = [f"{what} {n:,}" for counts in manifest["n_changed"].values() for what, n in counts.items()]
    cells = [name, manifest["kind"], f"{manifest['n_read']:,}", f"{sum(manifest['n_rows'].values()):,}"]
    return f"| {' | '.join([*cells, ', '.join(steps) or 'none', ', '.join(changes) or 'none'])} |"


def main() -> None:
    """Build each set in turn."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--only", default="", help="a part of the names to build")
    flags.add_argument("--keep", type=Path, help="folder for the dataset folders (default: none is kept)")
    options = flags.parse_args()
    print("| set | kind | rows in | kept | rejected | changed |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, (program, path) in SETS.items():
            if options.only in name:
                output = (options.keep or Path(folder)) / name.replace(" ", "-")
                try:
                    with contextlib.redirect_stdout(io.StringIO()):
                        program([*flags_of(path), "--output", str(output)])
                    print(line_of(name, output), flush=True)
                except UserError as error:
                    print(f"| {name} | error: {error} |", flush=True)


if __name__ == "__main__":
    main()
