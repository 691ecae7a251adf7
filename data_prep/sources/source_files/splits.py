"""The splits of a source that has several, and which of them are read."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TypeVar

from pipelines.errors import UserError

ALL_SPLITS = "all"
TRAIN = "train"
# as `datasets` recognizes them in names of folders and files
_KEYWORDS = {
    TRAIN: ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLIT_OF = {keyword: split for split, keywords in _KEYWORDS.items() for keyword in keywords}
_SEPARATORS = re.compile(r"[-._ 0-9]+")
File = TypeVar("File")


def split_of_name(name: str) -> str | None:
    """Return the split that a file's path names in a folder (the nearest one), or else in its own name."""
    path = PurePosixPath(name)
    for part in (*reversed(path.parts[:-1]), path.name):
        for word in _SEPARATORS.split(part.lower()):
            if word in _SPLIT_OF:
                return _SPLIT_OF[word]
    return None


def chosen_splits(names: Sequence[str], split: str | None, source: str) -> list[str]:
    """Return which of the splits `names` are read: those of `split`, joined by "+", or by default train alone.

    One printed line says which are not. Raises `UserError` if a split of `split` does not exist.
    """
    if split is None:
        wanted = [TRAIN] if TRAIN in names else list(names)
    else:
        wanted = list(names) if split == ALL_SPLITS else [one.strip() for one in split.split("+")]
    unknown = [one for one in wanted if one not in names]
    if unknown:
        has = f"has the splits {', '.join(names)}" if names else "has no splits"
        raise UserError(f"{source} {has}, not {', '.join(unknown)}", f"name them with --split, or --split {ALL_SPLITS}")
    if others := [one for one in names if one not in wanted]:
        line = (
            f"{source}: reads the split {', '.join(wanted)}, not {', '.join(others)} (--split {ALL_SPLITS} reads all)"
        )
        print(line, file=sys.stderr, flush=True)
    return wanted


def files_of_splits(
    splits: Mapping[File, str | None], split: str | None, source: str
) -> tuple[list[File], dict[str, list[str]]]:
    """Return the files to read, and the manifest's entries about splits. `splits` has the split of each file.

    A file without a split is read unless `split` names others; files of one split are all read by default.
    """
    names = list(dict.fromkeys(one for one in splits.values() if one is not None))
    if split is None and len(names) < 2:
        return list(splits), {}
    wanted: list[str | None] = list(chosen_splits(names, split, source))
    described = {"splits": [*filter(None, wanted)], "splits_not_read": [one for one in names if one not in wanted]}
    if split in (None, ALL_SPLITS):
        wanted.append(None)
    return [file for file, one in splits.items() if one in wanted], {k: v for k, v in described.items() if v}
