"""The children's folder is measured and emptied whatever was built in it, also by a user without special rights."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.evaluation.code_execution import CodeTests, Outcome, run_texts
from pipelines.evaluation.code_execution.confined.scratch import empty_folder, too_full

NOBODY = 65534
# Its folder's path can be said, its own is longer than a path can be.
LONG_PATH = """
import os, time
while len(os.getcwd()) < 3860:
    name = "d" * min(240, 3899 - len(os.getcwd()))
    os.mkdir(name)
    os.chdir(name)
open("f" * 250, "w").close()
"""


def as_an_ordinary_user(work: Callable[[], bool]) -> bool:
    """What `work` returned in a process that no special rights help; false where it raised."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of the ordinary user's, reachable by a descriptor only."""
    own = tmp_path / "own"
    own.mkdir()
    if os.geteuid() == 0:
        os.chown(own, NOBODY, NOBODY)
    return own


def test_folders_without_any_rights_are_emptied(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)

    def build_and_empty() -> bool:
        own = Path(f"/proc/self/fd/{descriptor}")
        (own / "a" / "b" / "c").mkdir(parents=True)
        for path in (own / "a" / "b" / "c", own / "a" / "b", own / "a", own):
            path.chmod(0)
        empty_folder(own)
        return not list(own.iterdir())

    assert as_an_ordinary_user(build_and_empty)
    os.close(descriptor)


@pytest.mark.usefixtures("confining_machine")
def test_a_path_longer_than_a_path_can_be_is_too_full_and_the_next_answer_runs() -> None:
    good = "def f():\n    return 1\n"
    found = run_texts([LONG_PATH + "time.sleep(1)\n" + good, good], [CodeTests(("assert f() == 1",))] * 2, n_workers=1)
    assert [result.outcome for result in found] == [Outcome.FILES, Outcome.PASSED]


def test_what_cannot_be_measured_is_too_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not too_full(str(tmp_path), 2**20, 100)
    monkeypatch.chdir(tmp_path)
    exec(LONG_PATH, {})
    assert too_full(str(tmp_path), 2**20, 100)
    empty_folder(tmp_path)
    assert not list(tmp_path.iterdir())
