"""A corpus of Python sources with near-deduplication: without --executor, as local tasks, and on Ray.

    python -m tests.benchmarks.data_prep.corpus_executors --source .venv/lib/python3.11/site-packages --megabytes 300

Out: for each way the seconds, the largest memory of all its processes together, and the documents kept. Exits 1 if two
executors keep other documents. Needs the extra `scale`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from data_prep.dataset_folder import read_manifest

STEPS = "- empty\n- exact_duplicates\n- near_duplicates\n"
WAYS = {
    "own, 1 process": ["--num_proc", "1"],
    "own, 2 processes": ["--num_proc", "2"],
    "local, 1 worker": ["--executor", "local", "--num_proc", "1", "--num_tasks", "8"],
    "local, 2 workers": ["--executor", "local", "--num_proc", "2", "--num_tasks", "8"],
    "ray, 2 workers": ["--executor", "ray", "--num_proc", "2", "--num_tasks", "8"],
}


def linked(source: Path, folder: Path, megabytes: int) -> int:
    """Fill `folder` with links to the Python files of `source`, sorted by path, up to `megabytes`; return the bytes."""
    n_bytes = 0
    for path in sorted(source.resolve().rglob("*.py")):
        if n_bytes >= megabytes * 1_000_000:
            break
        n_bytes += path.stat().st_size
        link = folder / path.relative_to(source.resolve())
        link.parent.mkdir(parents=True, exist_ok=True)
        link.hardlink_to(path)
    return n_bytes


def run(command: Sequence[str]) -> tuple[float, int]:
    """Run a program; return its seconds and the peak of the memory of its processes together, in bytes."""
    start, peak = time.monotonic(), 0
    with tempfile.TemporaryFile() as messages:
        program = psutil.Popen(command, stdout=messages, stderr=messages)
        while program.poll() is None:
            peak = max(peak, sum(map(_memory, [program, *_children(program)])))
            time.sleep(0.5)
        messages.seek(0)
        if program.returncode:
            sys.exit(messages.read().decode())
    return time.monotonic() - start, peak


def _children(program: psutil.Process) -> list[psutil.Process]:
    try:
        return program.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _memory(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def measured(way: str, source: Path, folder: Path) -> dict[str, Any]:
    """Build the corpus one way; return what the table shows."""
    (folder / "steps.yaml").write_text(STEPS)
    output = folder / way.replace(" ", "_")
    flags = ["--source", str(source), "--steps", str(folder / "steps.yaml"), "--output", str(output)]
    seconds, peak = run([sys.executable, "data_prep/build_corpus.py", *flags, *WAYS[way]])
    manifest = read_manifest(output)
    n_near = manifest["n_rejected"].get("near_duplicate", 0)
    n_kept = sum(manifest["n_rows"].values()) + manifest["n_rejected"].get("over_group_limit", 0)
    return {"seconds": seconds, "peak": peak, "n_kept": n_kept, "n_near": n_near, "hash": manifest["content_sha256"]}


def main() -> None:
    """Measure each way on the same files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--way", action="append", choices=WAYS, help="repeatable (all)")
    parser.add_argument("--folder", type=Path, default=Path(), help="on the file system of --source")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name).resolve()
        megabytes = linked(options.source, folder / "sources", options.megabytes) / 1e6
        print(f"{megabytes:.0f} MB\n\n| way | seconds | MB/s | peak memory, all processes | kept | near duplicates |")
        print("|---|---|---|---|---|---|", flush=True)
        hashes = []
        for way in options.way or WAYS:
            one = measured(way, folder / "sources", folder)
            hashes += [one["hash"]] if "--executor" in WAYS[way] else []
            cells = f"{one['seconds']:.0f} | {megabytes / one['seconds']:.1f} | {one['peak'] >> 20:,} MiB"
            print(f"| {way} | {cells} | {one['n_kept']:,} | {one['n_near']:,} |", flush=True)
    if any(one != hashes[0] for one in hashes):
        sys.exit("the executors keep different documents")
    print("\nThe executors keep the same documents.")


if __name__ == "__main__":
    main()
