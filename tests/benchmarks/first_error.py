r"""Seconds to the first error, for every mistake of tests/first_errors.py, in one or several checkouts.

    python -m tests.benchmarks.first_error . ../other-checkout --repeats 5

Out: a table with the median of each checkout, the longest last. Each checkout needs its own .venv.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.first_errors import MISTAKES, Mistake, make_places


def seconds(mistake: Mistake, project: Path, places: dict[str, str], repeats: int) -> float:
    """The median of `repeats` runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        command = [str(project / ".venv/bin/python"), *mistake.command(places)]
        subprocess.run(command, cwd=project, capture_output=True, check=False)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Measure the checkouts in turn, mistake by mistake."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("projects", nargs="+", type=lambda text: Path(text).absolute())
    flags.add_argument("--repeats", type=int, default=5)
    flags.add_argument("--only", default="", help="a part of the titles to measure")
    options = flags.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        places = make_places(Path(folder))
        chosen = [mistake for mistake in MISTAKES if options.only in mistake.title]
        rows = [
            (one.title, [seconds(one, path, places, options.repeats) for path in options.projects]) for one in chosen
        ]
    for title, medians in sorted(rows, key=lambda row: row[1]):
        print(f"| {title} | {' | '.join(f'{one:.2f}' for one in medians)} |")


if __name__ == "__main__":
    main()
