r"""Rows per second and memory of reading each format of rows, before they are converted or cleaned.

    python -m tests.benchmarks.data_prep.reading_speed --rows 200000

Out: a line for each format with rows/s of one processor, and the memory that reading added (Linux); for JSONL also the
pass that cuts the file in parts and hashes it.
"""

import argparse
import csv
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet

from data_prep.dataset_folder.file_readers.text_encodings import TextEncoding
from data_prep.dataset_folder.row_files import iter_rows
from data_prep.sources.source_files.line_ranges import line_ranges
from tests.benchmarks.data_prep.build_speed import make_rows


def write_formats(folder: Path, n_rows: int) -> None:
    """Write the same rows in each format."""
    make_rows(folder / "rows.jsonl", n_rows)
    content = (folder / "rows.jsonl").read_bytes()
    rows = [json.loads(line) for line in content.splitlines()]
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    table = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, folder / "rows.parquet", row_group_size=10_000)
    for suffix, codec in ((".gz", "gzip"), (".zst", "zstd")):
        with pyarrow.CompressedOutputStream(str(folder / f"rows.jsonl{suffix}"), codec) as file:
            file.write(content)
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def peak_kilobytes() -> int:
    """Return the highest memory of this process so far. `ru_maxrss` would begin with that of the parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def measure(name: str, work: Callable[[], int]) -> None:
    """Print rows/s of `work`, which returns the number of rows, and the memory it added."""
    before, start = peak_kilobytes(), time.process_time()
    n_rows = work()
    seconds = time.process_time() - start
    added = (peak_kilobytes() - before) >> 10
    print(f"{name:<14} {n_rows / seconds:>10,.0f} rows/s  {added:>4} MB", flush=True)


def main() -> None:
    """Write the files, then read each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if path := options.read:
        import pyarrow.parquet  # noqa: F401  its memory is not of the file

        measure(path.name, lambda: sum(1 for _ in iter_rows(path)))
        if path.suffix == ".jsonl":
            measure("parts, sha256", lambda: list(line_ranges(path, hashlib.sha256(), TextEncoding())) and options.rows)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_formats(Path(folder), options.rows)
        print(f"{options.rows:,} rows of {(Path(folder) / 'rows.jsonl').stat().st_size / options.rows:,.0f} bytes")
        for file in sorted(Path(folder).iterdir()):
            command = [sys.executable, "-m", "tests.benchmarks.data_prep.reading_speed", "--rows", str(options.rows)]
            subprocess.run([*command, "--read", str(file)], check=True)


if __name__ == "__main__":
    main()
