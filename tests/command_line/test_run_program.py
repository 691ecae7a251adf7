"""How a program ends when the place it works in refuses."""

import argparse
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from pipelines.command_line import run_program, size_of_files


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_place_that_refuses_is_one_line(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    def main(_: Sequence[str] | None) -> NoReturn:
        raise OSError(number, os.strerror(number), "/data/out")

    with pytest.raises(SystemExit) as ended:
        run_program(main)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: expected room")
    assert f"{os.strerror(number).lower()} at /data/out" in line


def test_a_file_that_a_program_has_lost_itself_keeps_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run_program(lambda _: (tmp_path / "none").read_text() and None)


@pytest.mark.parametrize(("text", "is_size"), [("5GB", True), ("0.5MB", True), ("5", False), ("5GiB", False)])
def test_a_size_of_files_has_a_unit(text: str, is_size: bool) -> None:
    if is_size:
        assert size_of_files(text) == text
    else:
        with pytest.raises(argparse.ArgumentTypeError, match="such as 5GB"):
            size_of_files(text)
