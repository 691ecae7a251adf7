"""The paths that a recipe names, before torch is imported: what is certainly a local path has to exist."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import UserError

_MODELS_AND_ROWS = ("model_name_or_path", "adapter_name_or_path", "tokenizer_name_or_path", "dataset_name")
_FILES = ("general_text", "deepspeed", "fsdp_config", "accelerator_config")
PATH_KEYS = (*_MODELS_AND_ROWS, *_FILES, "chat_template_path", "output_dir", "resume_from_checkpoint")
_FILE_ENDING = re.compile(r"\.(jsonl?|csv|tsv|parquet|arrow|txt|md|jinja2?|ya?ml|gz|zst|gguf|safetensors|bin)$")
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")
_REMEDIES = {
    "datasets": "check the path",
    "resume_from_checkpoint": "remove it; --resume goes on from the newest checkpoint of an unfinished run",
}


def missing_places(keys: Mapping[str, Any]) -> Iterator[UserError]:
    """One error for each path of a recipe's `keys` that is missing here, or that holds a variable of the shell."""
    for key, place in _places(keys):
        if not place:
            yield UserError(expected=f"a path for `{key}`", got="an empty text", remedy=f"write one, or remove `{key}`")
        elif _VARIABLE.search(place):
            yield UserError(
                expected=f"a path for `{key}`",
                got=f"{place}, and a recipe's variables are not expanded",
                remedy=f'write the path, or pass --{key} "{place}" on the command line, where the shell expands it',
            )
        elif key != "output_dir" and (key in _FILES or _is_local(place)) and not _exists(place):
            yield UserError(
                expected=f"an existing path for `{key}`",
                got=f"{place}, which does not exist",
                remedy=_REMEDIES.get(key, f"check the path, or pass another with --{key}"),
            )


def _places(keys: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((key, keys[key]) for key in PATH_KEYS if isinstance(keys.get(key), str))
    parts = keys.get("datasets")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and isinstance(part.get("path"), str):
            yield "datasets", part["path"]


def _is_local(place: str) -> bool:
    """Whether `place` cannot be an id of the Hub, which is NAME or ORG/NAME, with a revision behind an @."""
    if "://" in place or any(mark in place for mark in "*?["):  # an address, or a pattern of files
        return False
    name = place.partition("@")[0]
    if name.startswith(("/", ".", "~")) or name.endswith("/") or name.count("/") > 1 or "\\" in name:
        return True
    return _FILE_ENDING.search(name) is not None or _is_among_ours(Path(name))


def _is_among_ours(place: Path) -> bool:
    """Whether `place` would be in a folder that holds folders of this project's programs, such as runs/."""
    return len(place.parts) == 2 and any(
        next(place.parent.glob(f"*/{record}"), None) is not None for record in ("run.json", "manifest.json")
    )


def _exists(place: str) -> bool:
    try:
        return Path(place).exists()
    except (OSError, ValueError):  # too long for a file's name; a null character
        return False
