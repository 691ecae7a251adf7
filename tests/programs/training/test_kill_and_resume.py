"""Real SIGKILLs in real processes: the short version of tests/benchmarks/kill_and_resume.py."""

import subprocess
import sys

from tests.conftest import PROJECT


def test_four_killed_runs_of_four_kinds_end_as_straight_ones():
    command = [sys.executable, "-m", "tests.benchmarks.kill_and_resume", "--kills", "4"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "4 kills, 0 runs that differ" in done.stdout
    assert done.stdout.count("killed inside a checkpoint") == 1
