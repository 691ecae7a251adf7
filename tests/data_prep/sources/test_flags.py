import argparse

import pytest

from data_prep.dataset_folder import DatasetKind
from data_prep.sources import ReadOptions, add_source_flags
from data_prep.sources.flags import read_options

KIND = DatasetKind.INSTRUCTIONS


def parsed(*flags: str) -> ReadOptions:
    parser = argparse.ArgumentParser()
    add_source_flags(parser)
    return read_options(parser.parse_args(["--source", "a", "--output", "b", *flags]), KIND)


def test_flags_say_how_sources_are_read():
    assert parsed() == ReadOptions(KIND)
    flags = [
        "--split",
        "train+test",
        "--dataset_config",
        "main",
        "--encoding",
        "Latin1",
        "--max_row_mb",
        "8",
        "--strict",
    ]
    assert parsed(*flags) == ReadOptions(
        KIND, split="train+test", config="main", encoding="iso8859-1", max_row_mb=8, strict=True
    )


@pytest.mark.parametrize(("flags", "message"), [
    (["--encoding", "nonsense"], "'nonsense' is not an encoding such as cp1252"),
    (["--max_row_mb", "0"], "'0' is not a whole number above 0"),
])  # fmt: skip
def test_a_wrong_value_is_named(flags, message, capsys):
    with pytest.raises(SystemExit):
        parsed(*flags)
    assert message in capsys.readouterr().err
