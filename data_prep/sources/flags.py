"""The flags of every program that builds a dataset, and reading all the sources they name."""

import argparse
import codecs
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from data_prep.dataset_folder import DatasetKind, SplitSizes
from data_prep.sources.formats import AUTO, FORMATS
from data_prep.sources.row_columns import parse_column_map
from data_prep.sources.units import ReadOptions
from pipelines.command_line import positive_number


def add_source_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--source` and how to read it, `--output` and how to split it."""
    parser.add_argument("--source", action="extend", nargs="+", help="files, folders or Hub ids; repeatable")
    formats = f"how to read the sources: {', '.join(FORMATS)} (auto)"
    parser.add_argument("--format", default=AUTO, choices=FORMATS, metavar="FORMAT", help=formats)
    parser.add_argument("--column_map", help="column names in the source, as instruction=question,output=answer")
    parser.add_argument("--split", help="splits to read of a source that has several, as train+test, or all (train)")
    parser.add_argument("--dataset_config", help="configuration to read of a Hub dataset that has several")
    parser.add_argument("--encoding", type=_encoding, help="encoding of files of rows (UTF-8, or found if sure)")
    parser.add_argument("--max_row_mb", type=positive_number, default=64, help="reject rows of more bytes (64)")
    parser.add_argument("--strict", action="store_true", help="stop at a row or file that cannot be read")
    parser.add_argument("--output", required=True, type=Path, help="the dataset folder to make")
    parser.add_argument("--validation_size", type=float, default=0.05, help="share of groups, 0 for none (0.05)")
    parser.add_argument("--test_size", type=float, default=0.05, help="share of groups, 0 for none (0.05)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split and of --limit's sample (0)")
    parser.add_argument("--num_proc", type=positive_number, help="processes that read and clean (all cores)")
    parser.add_argument("--limit", type=positive_number, help="keep a seeded sample of this many rows (all)")
    parser.add_argument("--license", action="append", type=_license, help="license of the rows, as on the Hub: mit")
    parser.add_argument("--overwrite", action="store_true", help="replace the contents of --output")


def _encoding(text: str) -> str:
    """Parse a name of an encoding that Python knows."""
    try:
        return codecs.lookup(text).name
    except LookupError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an encoding such as cp1252") from None


def is_license(text: str) -> bool:
    """Whether `text` may be an identifier of a license."""
    return re.fullmatch(r"[A-Za-z0-9.+-]+", text) is not None


def _license(text: str) -> str:
    """Parse an identifier of the Hub (https://huggingface.co/docs/hub/repositories-licenses)."""
    if not is_license(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a license identifier such as mit or cc-by-4.0")
    return text.lower()


def split_sizes(options: argparse.Namespace) -> SplitSizes:
    """Return `--validation_size` and `--test_size`."""
    return SplitSizes(options.validation_size, options.test_size)


def read_options(options: argparse.Namespace, kind: DatasetKind) -> ReadOptions:
    """Return how the flags say that sources are read. Raises `UserError` for a wrong `--column_map`."""
    return ReadOptions(
        kind,
        options.format,
        parse_column_map(options.column_map, kind),
        config=options.dataset_config,
        split=options.split,
        encoding=options.encoding,
        max_row_mb=options.max_row_mb,
        strict=options.strict,
    )


def distinct_names(sources: Sequence[str]) -> list[str]:
    """Return the `source` of rows: the last part of its path (a Hub id whole), numbered if two are equal."""
    names: list[str] = []
    for source in sources:
        name = Path(source).resolve().name if Path(source).exists() else source
        same = sum(known.rpartition("#")[0] == name or known == name for known in names)
        names.append(f"{name}#{same + 1}" if same else name)
    return names


def command_of(program: str, arguments: Sequence[str] | None) -> str:
    """Return the command line in shell syntax."""
    return shlex.join(["python", f"data_prep/{program}", *(sys.argv[1:] if arguments is None else arguments)])
