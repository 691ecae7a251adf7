r"""Seconds to the first error, for every mistake of tests/first_errors.py, in one or several checkouts.

    python -m tests.benchmarks.first_error . ../other-checkout --repeats 5

Out: a table with the median time on the clock and of the processor for each checkout (each needs its own .venv). On a
busy machine only the processor's time can be compared.
"""

import argparse
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.first_errors import MISTAKES, Mistake, make_places


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(mistake: Mistake, project: Path, places: dict[str, str], repeats: int) -> str:
    """Return the medians of `repeats` runs, as two cells of a table."""
    clock, processor = [], []
    for _ in range(repeats):
        start, before = time.perf_counter(), _processor_time()
        command = [str(project / ".venv/bin/python"), *mistake.command(places)]
        subprocess.run(command, cwd=project, capture_output=True, check=False)
        clock.append(time.perf_counter() - start)
        processor.append(_processor_time() - before)
    return f"{statistics.median(clock):.2f} | {statistics.median(processor):.2f}"


def main() -> None:
    """Measure the checkouts in turn, mistake by mistake."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("projects", nargs="+", type=lambda text: Path(text).absolute())
    flags.add_argument("--repeats", type=int, default=5)
    flags.add_argument("--only", default="", help="a part of the titles to measure")
    options = flags.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        places = make_places(Path(folder))
        for one in MISTAKES:
            if options.only in one.title:
                cells = [measure(one, path, places, options.repeats) for path in options.projects]
                print(f"| {one.title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
