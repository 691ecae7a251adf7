r"""Rows per second and peak memory of build_instructions.py, beside the same steps by `datasets.map` and datasketch.

    python -m tests.benchmarks.data_prep.build_speed --rows 10000 100000 1000000
    python -m tests.benchmarks.data_prep.build_speed --rows 20000 --against_map
    python -m tests.benchmarks.data_prep.build_speed --rows 100000 --steps three.yaml --against_checkout ../before

Rows are recombined with a seed from the sets of ../shared/data: the request of one real row, the answer of another.
Out: a line for each run with seconds on the clock and of the processors, rows/s, and the memory of all processes
together (proportional set size), sampled twice a second. --against_checkout builds the same rows with the program
of another checkout, which needs its own .venv, in turn with this one.
"""

import argparse
import gzip
import itertools
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parents[3]
SHARED = PROJECT.parent / "shared" / "data"


def real_rows() -> Iterator[tuple[str, str, str]]:
    """Yield request, input and answer of the rows of Alpaca, Dolly and GPTeacher."""
    with gzip.open(SHARED / "alpaca-52k" / "alpaca_data.json.gz") as file:
        for row in json.load(file):
            yield row["instruction"], row["input"], row["output"]
    for line in (SHARED / "splits" / "dolly_dev.jsonl").open():
        row = json.loads(line)
        yield row["instruction"], row["input"], row["output"]
    for row in json.loads((SHARED / "gpteacher" / "codegen-instruct.json").read_text()):
        yield row["instruction"], row.get("input") or "", row["response"]


def make_rows(path: Path, n_rows: int, seed: int = 0) -> None:
    """Write `n_rows` rows of JSONL, each the request of one real row with the answer of another."""
    real = [row for row in real_rows() if row[0] and row[2]]
    choice = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(n_rows):
            (instruction, given, _), (_, _, output) = choice.choice(real), choice.choice(real)
            row = {"instruction": instruction, "input": given, "output": output}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def build_command(project: Path, source: Path, output: Path, steps: Path | None) -> list[str]:
    """Return the command that builds a dataset folder with the program of a checkout."""
    program = [str(project / ".venv/bin/python"), str(project / "data_prep/build_instructions.py")]
    return [*program, "--source", str(source), "--output", str(output), *(["--steps", str(steps)] if steps else [])]


def measured(name: str, command: list[str], n_rows: int) -> float:
    """Run `command`, print a line about it, and return its seconds."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=PROJECT)
    family = Family(process)
    family.start()
    code = process.wait()
    seconds = time.perf_counter() - start
    family.join()
    if code:
        sys.exit(f"{' '.join(command)} ended with exit code {code}")
    cells = f"{seconds:.1f} | {sum(family.cpu_seconds.values()):.1f} | {n_rows / seconds:,.0f} | {family.peak_mib:,.0f}"
    print(f"| {name} | {n_rows:,} | {cells} |", flush=True)
    return seconds


class Family(threading.Thread):
    """Samples memory and processor time of a process and its children, twice a second."""

    def __init__(self, process: subprocess.Popen) -> None:
        super().__init__()
        self.process, self.peak_mib, self.cpu_seconds = process, 0.0, dict[int, float]()

    def run(self) -> None:
        while self.process.poll() is None:
            try:
                root = psutil.Process(self.process.pid)
                family = [root, *root.children(recursive=True)]
                self.peak_mib = max(self.peak_mib, sum(one.memory_full_info().pss for one in family) / 2**20)
                self.cpu_seconds |= {one.pid: sum(one.cpu_times()[:2]) for one in family}
            except psutil.Error:
                pass  # a process ended between two questions
            time.sleep(0.5)


def build_by_map(source: Path) -> None:
    """Clean and deduplicate as most scripts do: `datasets.map` row by row, datasketch for near duplicates."""
    from datasets import load_dataset
    from datasketch import MinHash, MinHashLSH

    from data_prep.building.cleaner import Cleaner
    from data_prep.cleaning.registry import default_steps
    from data_prep.dataset_folder import DatasetKind
    from data_prep.sources import SourceRow

    cleaner = Cleaner(default_steps(DatasetKind.INSTRUCTIONS))

    def clean(row: dict, number: int) -> dict:
        cleaned, _, _ = cleaner.clean(SourceRow(row, "rows", str(number), "", b""))
        return {"kept": isinstance(cleaned, SourceRow), **(cleaned.fields if isinstance(cleaned, SourceRow) else row)}

    def signature(row: dict) -> dict:
        words = f"{row['instruction']} {row['input']} {row['output']}".lower().split()
        sketch = MinHash(num_perm=128)
        for pair in itertools.pairwise(words):
            sketch.update(" ".join(pair).encode())
        return {"signature": sketch.hashvalues}

    rows = load_dataset("json", data_files=str(source), split="train")
    rows = rows.map(clean, with_indices=True).filter(lambda row: row["kept"]).map(signature)
    index, seen, kept = MinHashLSH(threshold=0.6, num_perm=128), set(), []
    for number, row in enumerate(rows):
        key = " ".join(f"{row['instruction']} {row['input']} {row['output']}".casefold().split())
        sketch = MinHash(num_perm=128, hashvalues=row["signature"], scheme="affine32")
        if key not in seen and not index.query(sketch):
            index.insert(number, sketch)
            kept.append(number)
        seen.add(key)
    split = rows.select(kept).train_test_split(test_size=0.1, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        for name, part in split.items():
            part.to_parquet(f"{folder}/{name}.parquet")
    print(f"{len(kept):,} rows kept")


def main() -> None:
    """Make rows, build them, and print the table."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    flags.add_argument("--repeats", type=int, default=1)
    flags.add_argument("--steps", type=Path, help="steps file (default: the default steps)")
    flags.add_argument("--against_map", action="store_true")
    flags.add_argument("--against_checkout", type=lambda text: Path(text).absolute())
    flags.add_argument("--map_only", type=Path, help=argparse.SUPPRESS)
    options = flags.parse_args()
    if options.map_only:
        build_by_map(options.map_only)
        return
    print("| build | rows | s | CPU s | rows/s | peak MiB, all processes |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for n_rows in options.rows:
            source = Path(folder) / f"{n_rows}.jsonl"
            make_rows(source, n_rows)
            for _ in range(options.repeats):
                output = Path(folder) / "output"
                measured("here", build_command(PROJECT, source, output, options.steps), n_rows)
                shutil.rmtree(output)
                if options.against_map:
                    command = [
                        sys.executable,
                        "-m",
                        "tests.benchmarks.data_prep.build_speed",
                        "--map_only",
                        str(source),
                    ]
                    measured("datasets.map and datasketch", command, n_rows)
                if options.against_checkout:
                    other = build_command(options.against_checkout, source, output, None)
                    measured(options.against_checkout.name, other, n_rows)
                    shutil.rmtree(output)


if __name__ == "__main__":
    main()
