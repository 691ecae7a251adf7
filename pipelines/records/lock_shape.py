"""Check the keys and types of a lock when it is read: it may have been edited."""

from collections.abc import Mapping
from typing import Any

_NUMBER = int | float
_TEXT_OR_NONE = str | None
_MODEL = {"name_or_path": str, "fingerprint": str}
_DATASET = {"split": str, "path": str, "revision": _TEXT_OR_NONE, "fingerprint": str}
_GIT = {"commit": _TEXT_OR_NONE, "diff_sha256": _TEXT_OR_NONE}
_RESULT = {"weights_sha256": _TEXT_OR_NONE, "loss_curve": [[_NUMBER]], "metrics": {}}

# A type, the least keys of an object, or [the shape of each entry].
_SHAPE: Mapping[str, Any] = {
    "program": str,
    "recipe": {},
    "base": _MODEL,
    "adapter": _MODEL,
    "datasets": [_DATASET],
    "tokenizer_sha256": str,
    "template_sha256": _TEXT_OR_NONE,
    "versions": {},
    "git": _GIT,
    "n_processes": int,
    "parallelism": str,
    "machine": {},
    "result": _RESULT,
}
_MAY_BE_NONE = ("base", "adapter", "result")  # from scratch, no adapter before this one, not finished


def missing_keys(lock: Mapping[str, Any]) -> list[str]:
    """The top-level keys that a lock lacks."""
    return [key for key in _SHAPE if key not in lock]


def first_misfit(lock: Mapping[str, Any]) -> str | None:
    """The place of the first value of a wrong type, such as `datasets.0.split`; None for a valid lock."""
    places = (
        _misfit(lock[key], shape, key)
        for key, shape in _SHAPE.items()
        if not (key in _MAY_BE_NONE and lock[key] is None)
    )
    return next(filter(None, places), None)


def _misfit(value: Any, shape: Any, place: str) -> str | None:
    if isinstance(shape, dict):
        if not isinstance(value, dict) or any(key not in value for key in shape):
            return place
        within = [(value[key], inner, f"{place}.{key}") for key, inner in shape.items()]
    elif isinstance(shape, list):
        if not isinstance(value, list):
            return place
        within = [(entry, shape[0], f"{place}.{number}") for number, entry in enumerate(value)]
    else:
        return None if isinstance(value, shape) else place
    return next(filter(None, (_misfit(*one) for one in within)), None)
