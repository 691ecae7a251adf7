"""How a program ends when it is ended or the place it works in refuses, and the types of its flags."""

import argparse
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

import pytest

from pipelines.command_line import not_negative, run_program, share, size_of_files
from tests.conftest import PROJECT

_HALF_WRITTEN = """
import multiprocessing, sys, time
from pathlib import Path
from pipelines.command_line import run_program
from pipelines.files import fresh_folder

def main(_):
    with multiprocessing.get_context("fork").Pool(1):
        pass  # ends its worker with a SIGTERM
    with fresh_folder(Path(sys.argv[1])):
        print("writing", flush=True)
        time.sleep(60)

run_program(main)
"""


@pytest.fixture(autouse=True)
def _same_handler_after() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGINT, "interrupted\n"),
        (signal.SIGTERM, "terminated by SIGTERM\n"),
        (signal.SIGUSR1, "terminated by SIGUSR1\n"),
    ],
    ids=["Ctrl-C", "kill", "warning"],
)
def test_a_program_that_is_ended_leaves_nothing_half_written(tmp_path, number, said):
    program = subprocess.Popen(
        [sys.executable, "-c", _HALF_WRITTEN, str(tmp_path / "out")],
        cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores Ctrl-C
    )  # fmt: skip
    assert program.stdout is not None
    assert program.stdout.readline() == "writing\n"
    assert [one.name.startswith(".out.") for one in tmp_path.iterdir()] == [True]
    program.send_signal(number)
    assert program.communicate(timeout=30)[1] == said
    assert program.returncode == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_a_worker_is_killed_by_the_system_whatever_it_waits_for():
    """A handler in Python is not called in a worker that a signal reaches just before it waits for a semaphore."""
    program = (
        "import multiprocessing, signal\nfrom pipelines.command_line import run_program\n"
        "def main(_):\n"
        "    with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "        print(pool.apply(signal.getsignal, (signal.SIGTERM,)) is signal.SIG_DFL)\n"
        "    print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)\n"
        "run_program(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_a_worker_that_is_ended_as_it_begins_ends():
    program = (
        "import os, signal, time\nfrom pipelines.command_line import run_program\n"
        "os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
        "def main(_):\n"
        "    child = os.fork()\n"
        "    if not child:\n        time.sleep(30)\n        os._exit(0)\n"
        "    print(-os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "run_program(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{signal.SIGTERM.value}\n", done.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_place_that_refuses_is_one_line(number, capsys):
    def main(_: Sequence[str] | None) -> NoReturn:
        raise OSError(number, os.strerror(number), "/data/out")

    with pytest.raises(SystemExit) as ended:
        run_program(main)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    verb = "open" if number == errno.EACCES else "write"
    assert line.startswith(f"error: cannot {verb} /data/out: {os.strerror(number).lower()}; ")


def test_a_file_that_a_program_has_lost_itself_keeps_its_traceback(tmp_path):
    with pytest.raises(FileNotFoundError):
        run_program(lambda _: (tmp_path / "none").read_text() and None)


@pytest.mark.parametrize(("text", "is_size"), [("5GB", True), ("0.5MB", True), ("5", False), ("5GiB", False)])
def test_a_size_of_files_has_a_unit(text, is_size):
    if is_size:
        assert size_of_files(text) == text
    else:
        with pytest.raises(argparse.ArgumentTypeError, match="such as 5GB"):
            size_of_files(text)


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "a lot"])
def test_a_bound_is_a_number(text):
    with pytest.raises(argparse.ArgumentTypeError, match="number of 0 or more"):
        not_negative(text)
    assert not_negative("1e-5") == 1e-5


@pytest.mark.parametrize("text", ["0", "5", "1.01"])
def test_a_share_is_a_part_of_the_whole(text):
    with pytest.raises(argparse.ArgumentTypeError, match="above 0 and at most 1"):
        share(text)
    assert share("1") == 1
