r"""Seconds to the first error, for every mistake of tests/first_errors.py, in one or several checkouts.

    python -m tests.benchmarks.first_error . ../other-checkout --repeats 5

Out: a table with the median time on the clock and of the processor for each checkout (each needs its own .venv). On a
busy machine only the processor's time can be compared.
"""

import argparse
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from tests.benchmarks.turns import Way, in_turns
from tests.first_errors import MISTAKES, make_places


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
                ways = [
                    Way(path.name, partial(subprocess.run, [path / ".venv/bin/python", *one.command(places)], cwd=path,
                                           capture_output=True, check=False))
                    for path in options.projects
                ]  # fmt: skip
                in_turns(ways, options.repeats)
                cells = [f"{clock:.2f} | {processor:.2f}" for clock, processor in (way.seconds for way in ways)]
                print(f"| {one.title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
