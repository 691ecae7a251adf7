r"""What a cleaning step rejects or changes in the real sets, as a seeded sample to read by eye.

    python -m tests.benchmarks.data_prep.cleaning_rejects language --set alpaca dolly --options '{"keep": ["en"]}'
    python -m tests.benchmarks.data_prep.cleaning_rejects runs_on --set alpaca --planted 50
    python -m tests.benchmarks.data_prep.cleaning_rejects time

Out: for each set the numbers of rows, of rejects by reason and of changes, and `--sample` of them with excerpts; with
`--planted` the share of so many faults, planted in answers of prose, that the step finds. `time` prints the
microseconds of each default step for a clean row of about 500 ASCII characters of Alpaca. Sets are read from `--data`,
a folder as data/README.md describes it; those that are absent are skipped.
"""

import argparse
import gzip
import json
import random
import timeit
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from data_prep.cleaning.registry import ROW_STEPS, default_steps
from data_prep.cleaning.row_texts import RowText, row_texts
from data_prep.cleaning.step import Changed, Rejected, StepFunction
from data_prep.conversation import RowFormat, read_preference, read_row
from data_prep.dataset_folder import DatasetKind
from tests.data_prep.cleaning.steps.planted import FAULTS, cut_anywhere, recall

Fields = dict[str, Any]
N_CHARACTERS = 300
DOCUMENT_CHARACTERS = 2_000


def _json(path: Path) -> Iterator[Fields]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    yield from map(json.loads, content.splitlines()) if ".jsonl" in path.name else json.loads(content)


def _instructions(path: Path) -> Iterator[Fields]:
    for row in _json(path):
        yield {**{name: row.get(name) or "" for name in ("instruction", "input")}, "output": _output(row)}


def _output(row: Fields) -> str:
    return str(row.get("output") or row.get("response") or "")


def _conversations(path: Path) -> Iterator[Fields]:
    for row in _json(path):
        read = read_row(row, RowFormat.MESSAGES if "messages" in row else RowFormat.SHAREGPT)
        yield read.as_row()  # type: ignore[union-attr]  # these formats are never plain text


def _preferences(path: Path) -> Iterator[Fields]:
    for row in _json(path):
        pair = read_preference({**row, "prompt": row["conversations"]} if "conversations" in row else row)
        yield {"prompt": pair.prompt, "chosen": [pair.chosen], "rejected": [pair.rejected]}


def _messages_without_roles(path: Path) -> Iterator[Fields]:
    yield from ({"instruction": "Go on.", "output": row["text"]} for row in _json(path))


def _documents(path: Path) -> Iterator[Fields]:
    yield from ({"text": row["text"]} for row in _json(path))


def _lines(path: Path) -> Iterator[Fields]:
    yield from ({"text": line.strip()} for line in path.read_text("utf-8").splitlines() if line.strip())


def _pieces(folder: Path) -> Iterator[Fields]:
    for path in sorted(folder.glob("*.txt")):
        piece = ""
        for paragraph in path.read_text("utf-8", errors="ignore").split("\n\n"):
            piece += paragraph + "\n\n"
            if len(piece) > DOCUMENT_CHARACTERS:
                yield {"text": piece.strip()}
                piece = ""


SETS: dict[str, tuple[str, Callable[[Path], Iterator[Fields]]]] = {
    "alpaca": ("alpaca-52k/alpaca_data.json.gz", _instructions),
    "dolly": ("splits/dolly_dev.jsonl", _instructions),
    "gpteacher": ("gpteacher/codegen-instruct.json", _instructions),
    "llms": ("llms-from-scratch/instruction-data.json", _instructions),
    "oasst": ("oasst1-en/en-train-messages.jsonl.gz", _messages_without_roles),
    "alpaca_gpt4": ("llamafactory-demos/alpaca_en_demo.json", _instructions),
    "identity": ("llamafactory-demos/identity.json", _instructions),
    "dpo": ("llamafactory-demos/dpo_en_demo.json", _preferences),
    "kto": ("llamafactory-demos/kto_en_demo.json", _conversations),
    "glaive": ("llamafactory-demos/glaive_toolcall_en_demo.json", _conversations),
    "c4": ("llamafactory-demos/c4_demo.jsonl", _documents),
    "wiki_demo": ("llamafactory-demos/wiki_demo.txt", _lines),
    "wikitext": ("wikitext2/wiki.valid.raw", _lines),
    "tinystories": ("splits/tinystories_dev.jsonl", _documents),
    "childrens": ("splits/childrens_dev.jsonl", _documents),
    "gutenberg": ("gutenberg", _pieces),
    "shakespeare": ("tinyshakespeare", _pieces),
    "thealgorithms": ("python-thealgorithms/files.jsonl", _documents),
}


def rejected_excerpt(texts: Sequence[RowText], found: Rejected) -> str:
    """The reason with the beginning and the end of every text."""
    shown = [f"{found.reason} {dict(found.details)}"]
    for one in texts:
        whole = one.text
        middle = f"{whole[:N_CHARACTERS]} [...] {whole[-N_CHARACTERS:]}"
        shown.append(f"  {one.role}: {whole if len(whole) <= 2 * N_CHARACTERS else middle!r}")
    return "\n".join(shown)


def changed_excerpt(texts: Sequence[RowText], found: Changed) -> str:
    """The counts with every changed text around its first difference."""
    shown = [str(dict(found.counts))]
    for one, after in zip(texts, found.texts, strict=True):
        before = one.text
        if before != after:
            pairs = enumerate(zip(before, after, strict=False))
            place = next((number for number, (a, b) in pairs if a != b), min(len(before), len(after)))
            begin = max(0, place - N_CHARACTERS // 4)
            shown.append(f"  {one.role}: {before[begin : place + N_CHARACTERS // 4]!r}")
            shown.append(f"  {' ' * len(one.role)}> {after[begin : place + N_CHARACTERS // 4]!r}")
    return "\n".join(shown)


def report(name: str, rows: Iterator[Fields], step: Any, n_sample: int, seed: int) -> None:
    """Print the counts of one set and a sample of its rejects and changes."""
    reasons: Counter[str] = Counter()
    n_rows, n_changed, shown = 0, 0, []
    for fields in rows:
        n_rows += 1
        texts = row_texts(fields)
        found = step(texts)
        if isinstance(found, Rejected):
            reasons[found.reason] += 1
            shown.append(rejected_excerpt(texts, found))
        elif isinstance(found, Changed):
            n_changed += 1
            shown.append("(secret)" if found.is_secret else changed_excerpt(texts, found))
    print(f"## {name}: {n_rows:,} rows, rejected {dict(reasons) or 0}, changed {n_changed}", flush=True)
    for number, text in enumerate(random.Random(seed).sample(shown, min(n_sample, len(shown))), start=1):
        print(f"[{name} {number}] {text}\n", flush=True)


def report_planted(name: str, rows: Iterator[Fields], step_name: str, step: Any, n_planted: int, seed: int) -> None:
    """Print the share of planted faults that the step finds in rows of one set."""
    prose = [
        row
        for row in rows
        if len(row.get("output", "")) > 150 and row["output"].endswith(".") and "\n" not in row["output"]
    ]
    rows_without = [row for row in prose if step(row_texts(row)) is None]
    sampled = random.Random(seed).sample(rows_without, min(n_planted, len(rows_without)))
    plants = {fault: plant for fault, planted_step, _, plant in FAULTS if planted_step == step_name}
    if step_name == "cut_off":
        plants["cut anywhere"] = cut_anywhere
    for fault, plant in plants.items():
        if sampled:
            print(f"## {name}: {fault}: {recall(step, sampled, plant, seed):.0%} of {len(sampled)} found", flush=True)


def report_times(rows: Iterator[Fields], n_rows: int = 500) -> None:
    """Print a table with the best of seven repeats for each default row step, and the sum."""
    chosen = [one for one in default_steps(DatasetKind.INSTRUCTIONS) if one.name in ROW_STEPS]
    functions = {one.name: ROW_STEPS[one.name].make(one.options) for one in chosen}
    timed: list[list[RowText]] = []
    for fields in rows:
        texts = row_texts(fields)
        is_ascii = all(one.text.isascii() for one in texts)
        if is_ascii and 450 <= sum(len(one.text) for one in texts) <= 550 and len(timed) < n_rows:
            timed += [texts] if all(function(texts) is None for function in functions.values()) else []
    total = 0.0
    print(f"| step | microseconds for one of {len(timed)} rows |\n|---|---|")
    for name, function in functions.items():
        seconds = min(timeit.repeat(partial(_over_all, function, timed), number=3, repeat=7)) / 3
        total += seconds / len(timed) * 1e6
        print(f"| `{name}` | {seconds / len(timed) * 1e6:.2f} |")
    print(f"| all | {total:.2f} |")


def _over_all(function: StepFunction, rows: Sequence[Sequence[RowText]]) -> None:
    for texts in rows:
        function(texts)


def main() -> None:
    """Run one step over the sets."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("step", choices=[*sorted(ROW_STEPS), "time"])
    flags.add_argument("--set", choices=sorted(SETS), nargs="*", default=list(SETS))
    flags.add_argument("--options", type=json.loads, default={}, help="the step's options as JSON")
    flags.add_argument("--sample", type=int, default=30)
    flags.add_argument("--planted", type=int, help="plant so many faults, and print how many are found")
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = flags.parse_args()
    if options.step == "time":
        path, read = SETS["alpaca"]
        report_times(read(options.data / path))
        return
    step = ROW_STEPS[options.step]
    function = step.make(step.options(**options.options))
    for name in options.set:
        path, read = SETS[name]
        if not (options.data / path).exists():
            continue
        if options.planted:
            rows = read(options.data / path)
            report_planted(name, rows, options.step, function, options.planted, options.seed)
        else:
            report(name, read(options.data / path), function, options.sample, options.seed)


if __name__ == "__main__":
    main()
