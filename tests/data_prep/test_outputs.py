"""The data programs ask before the work whether their output can be written."""

import importlib
from pathlib import Path

import pytest

from pipelines.errors import UserError

PROGRAMS = {
    "build_instructions": ["--source"],
    "build_preferences": ["--source"],
    "build_corpus": ["--source"],
    "train_tokenizer": ["--corpus"],
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("place", ["/dev/null/x", "/proc/x"])
def test_an_output_that_is_no_disk_is_one_line(program: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("not even rows")
    main = importlib.import_module(f"data_prep.{program}").main
    with pytest.raises(UserError, match=f"^cannot write {place}: .*; choose another path$"):
        main([*PROGRAMS[program], str(tmp_path / "rows.txt"), "--output", place])
