"""The flags of cleaning, mixing and splitting, and what they mean."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.building.mixture import MixturePart, read_mixture
from data_prep.cleaning.registry import ChosenStep, default_steps, read_steps, with_options
from data_prep.dataset_folder import DatasetKind
from data_prep.dataset_folder.splitting import MAX_GROUP_SHARE
from data_prep.sources import ReadOptions, check_column_map, read_options
from pipelines.command_line import positive_number, share
from pipelines.errors import UserError

MAX_REMOVED_SHARE = 0.5


def add_build_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--steps`, `--mixture` and the other flags of the engine."""
    parser.add_argument("--mixture", type=Path, help="YAML list of sources with weights, in place of --source")
    parser.add_argument("--steps", type=Path, help="YAML list of cleaning steps (default: see data_prep/README.md)")
    parser.add_argument(
        "--decontaminate", action="append", default=[], help="evaluation set that no row may contain; repeatable"
    )
    parser.add_argument(
        "--max_removed_share", type=share, default=MAX_REMOVED_SHARE,
        help=f"stop if a step removes more of one source ({MAX_REMOVED_SHARE})",
    )  # fmt: skip
    parser.add_argument(
        "--max_group_share", type=share, default=MAX_GROUP_SHARE,
        help=f"largest share of one group in validation and test ({MAX_GROUP_SHARE})",
    )  # fmt: skip
    parser.add_argument("--push_to_hub", metavar="OWNER/NAME", help="upload the folder to this dataset repository")
    parser.add_argument("--public", action="store_true", help="make a new repository public (default private)")
    parser.add_argument(
        "--preview", type=positive_number, metavar="N", help="print N rows before and after cleaning, then stop"
    )


def chosen_steps(options: argparse.Namespace, kind: DatasetKind) -> list[ChosenStep]:
    """Return the steps of `--steps`, or the default ones, with `--max_output_chars` and `--decontaminate`."""
    steps = default_steps(kind) if options.steps is None else read_steps(options.steps)
    if getattr(options, "max_output_chars", None):
        steps = with_options(steps, "max_length", output_chars=options.max_output_chars)
    if options.decontaminate:
        known = next((step.options.against for step in steps if step.name == "contamination"), ())
        steps = with_options(steps, "contamination", against=(*known, *options.decontaminate))
    return steps


def mixture_parts(options: argparse.Namespace) -> list[MixturePart]:
    """Return the sources of `--mixture` or `--source`. Raises `UserError` unless one of the two is given."""
    if options.public and not options.push_to_hub:
        raise UserError("--public is for an upload", "add --push_to_hub OWNER/NAME, or remove --public")
    if (options.mixture is None) == (not options.source):
        found = "are both given" if options.source else "are both missing"
        raise UserError(f"--source and --mixture {found}", "name the sources by one of the two")
    if options.mixture is not None:
        return read_mixture(options.mixture)
    return [MixturePart(source) for source in options.source]


def read_options_of(part: MixturePart, options: argparse.Namespace, kind: DatasetKind) -> ReadOptions:
    """Return how to read one source: its own format, columns and split win over the flags."""
    if part.phrasings and kind is DatasetKind.CORPUS:
        raise UserError(
            f"{part.source} in {options.mixture} has phrasings, but a document has no request", "remove them"
        )
    check_column_map(part.column_map, kind, f"column_map of {part.source} in {options.mixture}")
    own = {"format": part.format, "column_map": part.column_map, "split": part.split}
    return replace(read_options(options, kind), **{key: value for key, value in own.items() if value})  # type: ignore[arg-type]


def licenses_of(options: argparse.Namespace, parts: Sequence[MixturePart]) -> list[str]:
    """Return the licenses of `--license` and of the mixture's sources, each once."""
    return list(dict.fromkeys([*(options.license or ()), *(part.license for part in parts if part.license)]))


def all_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
