"""Mixtures: sources with weights, caps, several phrasings of a request, and a share of replayed general text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.cleaning.yaml_options import dataclass_of, did_you_mean, read_yaml_list
from data_prep.dataset_folder import position_of
from data_prep.sources import FORMATS, is_license
from pipelines.errors import UserError

if TYPE_CHECKING:
    from numpy import ndarray

MAX_WEIGHT = 100.0
_SHARE_TOLERANCE = 0.02  # rows are sampled before they are split


@dataclass(frozen=True)
class MixturePart:
    """One source of a mixture, an entry of the file that `--mixture` names.

    `weight` is how often a training row is written: 0.5 keeps half of the rows, 2.0 writes each twice. `max_rows` keeps
    a seeded sample. `phrasings` are texts with `{instruction}`; each row, and each copy of it, takes another one.
    `replay_share` makes this source that share (0 to 1) of the training rows, by a sample, against forgetting.
    """

    source: str
    format: str | None = None
    column_map: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    weight: float = 1.0
    max_rows: int | None = None
    phrasings: tuple[str, ...] = ()
    replay_share: float | None = None
    license: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return how the source is mixed, as the manifest records it."""
        named = {name: getattr(self, name) for name in ("weight", "max_rows", "phrasings", "replay_share")}
        return {name: value for name, value in named.items() if value not in (None, (), 1.0)}

    @property
    def is_sampled(self) -> bool:
        """Whether not every row is written once."""
        return self.weight != 1 or self.max_rows is not None or self.replay_share is not None


def rows_not_sampled(
    alive: "ndarray", sources: "ndarray", positions: "ndarray", parts: Sequence[MixturePart]
) -> "ndarray":
    """Return the rows that `max_rows`, a weight below 1 and `replay_share` leave out: those with large positions."""
    import numpy as np

    targets = []
    rows_of = [np.flatnonzero(alive & (sources == number)) for number in range(len(parts))]
    for part, rows in zip(parts, rows_of, strict=True):
        n_kept = round(len(rows) * min(part.weight, 1.0))
        targets.append(n_kept if part.max_rows is None else min(n_kept, part.max_rows))
    shares = [part.replay_share for part in parts]
    n_others = sum(n * max(part.weight, 1.0) for n, part in zip(targets, parts, strict=True) if not part.replay_share)
    n_all = n_others / (1 - sum(share or 0.0 for share in shares))
    left_out = [
        rows[np.argsort(positions[rows], kind="stable")][
            min(target, round(n_all * part.replay_share / max(part.weight, 1.0))) if part.replay_share else target :
        ]
        for rows, target, part in zip(rows_of, targets, parts, strict=True)
    ]
    return np.concatenate(left_out) if left_out else np.zeros(0, np.int64)


def copies_of_rows(
    in_train: "ndarray", sources: "ndarray", positions: "ndarray", parts: Sequence[MixturePart]
) -> "ndarray":
    """Return how often each row is written: once, or in training as often as its source's weight, on average."""
    import numpy as np

    copies = np.ones(len(in_train), np.uint16)
    for number, part in enumerate(parts):
        if part.weight > 1:
            rows = np.flatnonzero(in_train & (sources == number))
            whole = math.floor(part.weight)
            copies[rows] = whole
            again = np.argsort(positions[rows], kind="stable")[: round(len(rows) * (part.weight - whole))]
            copies[rows[again]] += 1
    return copies


def replay_notes(copies: "ndarray", sources: "ndarray", parts: Sequence[MixturePart]) -> list[str]:
    """Return a sentence about each source with fewer rows than its `replay_share` needs. `copies` counts how often each
    row is written in training, 0 if it is not."""
    notes = []
    for number, part in enumerate(parts):
        share = int(copies[sources == number].sum()) / max(int(copies.sum()), 1)
        if part.replay_share and share < part.replay_share - _SHARE_TOLERANCE:
            notes.append(
                f"{part.source} is {share:.0%} of the training rows, not {part.replay_share:.0%}: too few rows"
            )
    return notes


def read_mixture(path: Path) -> list[MixturePart]:
    """Read the YAML file of a mixture, a list of sources. Raises `UserError` for what is not as documented."""
    entries = read_yaml_list(path, "--mixture")
    named = [{"source": one} if isinstance(one, str) else one for one in entries]
    parts = [dataclass_of(MixturePart, one, f"entry {number} of {path}") for number, one in enumerate(named, 1)]
    for number, part in enumerate(parts, start=1):
        if wrong := _wrong_value(part):
            advice = did_you_mean(part.format, FORMATS) if "format" in wrong else "correct the value"
            raise UserError(f"entry {number} of {path}: {wrong}", advice)
    parts = [_without_tilde(part) for part in parts]
    share = sum(part.replay_share or 0.0 for part in parts)
    if share >= 1 or (share and all(part.replay_share for part in parts)):
        raise UserError(f"the replay shares of {path} leave no room for other rows", "make them add up to less than 1")
    return parts


def _without_tilde(part: MixturePart) -> MixturePart:
    """Expand `~`, as the shell does for `--source`."""
    is_home = part.source.startswith("~")
    return replace(part, source=str(Path(part.source).expanduser())) if is_home else part


def _wrong_value(part: MixturePart) -> str | None:
    if part.format not in (None, *FORMATS):
        return f"format is {part.format!r}, expected {', '.join(FORMATS)}"
    if part.license is not None and not is_license(part.license):
        return f"license is {part.license!r}, expected an identifier such as mit or cc-by-4.0"
    if not 0 < part.weight <= MAX_WEIGHT:
        return f"weight is {part.weight}, expected above 0 and at most {MAX_WEIGHT}"
    if part.max_rows is not None and part.max_rows < 1:
        return f"max_rows is {part.max_rows}, expected 1 or more"
    if part.replay_share is not None and not 0 < part.replay_share < 1:
        return f"replay_share is {part.replay_share}, expected above 0 and below 1"
    wrong = next((text for text in part.phrasings if "{instruction}" not in text), None)
    return f"the phrasing {wrong!r} lacks {{instruction}}" if wrong is not None else None


def phrased(row: Mapping[str, Any], phrasings: Sequence[str], copy: int, seed: int) -> dict[str, Any]:
    """Return the row with its request, or its first user turn, in one of `phrasings`.

    Which one follows from the row's name and the seed; the copies of a row take the next ones.
    """
    first = position_of(f"{row['source']}\0{row['source_row']}\0phrasing", seed) % len(phrasings)
    phrasing = phrasings[(first + copy - 1) % len(phrasings)]
    if isinstance(row.get("instruction"), str):
        return {**row, "instruction": phrasing.replace("{instruction}", row["instruction"])}
    column = "messages" if "messages" in row else "prompt"  # of a pair
    turns = [dict(message) for message in row[column]]
    asked = next((one for one in turns if one["role"] == "user" and isinstance(one["content"], str)), None)
    if asked is not None:
        asked["content"] = phrasing.replace("{instruction}", asked["content"])
    return {**row, column: turns}
