"""Turn the recipe of a lock into one to run again: commits pinned, nothing pushed, no code from the Hub."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines.errors import UserError
from pipelines.files import write_json_atomically
from pipelines.recipe import ARGUMENTS, Recipe, Stage, parse_recipe, written_keys
from pipelines.recipe.precision import PRECISION_KEYS, WishedBy

# A second run starts from step 0, pushes nothing and uses no tracker. A lock may come from somebody else, so it sets no
# environment variable.
_LEFT_OUT = ("resume", "resume_from_checkpoint", "project", "env")


@dataclass(frozen=True)
class LockedRecipe:
    """The recipe of a lock for its `program`, parsed, and the file that holds it."""

    program: Stage
    recipe: Recipe
    path: Path
    flags: tuple[str, ...] = ()  # the precision: only on the command line is it obeyed on every machine


@contextmanager
def locked_recipe(lock: Mapping[str, Any], overrides: Sequence[str], output_dir: Path) -> Iterator[LockedRecipe]:
    """Yield the recipe of `lock` updated by the `overrides` (--key value ...), in a temporary file.

    Raises `UserError` for a recipe that would run code from the Hub, unless the overrides ask for it.
    """
    if str(lock["program"]) not in set(Stage):
        raise UserError(f"the program of the lock is {lock['program']}, expected one of {', '.join(Stage)}")
    program = Stage(lock["program"])
    own = written_keys(overrides)
    keys = {key: value for key, value in lock["recipe"].items() if key not in _LEFT_OUT and not is_push_key(key)}
    _refuse_code_of_others(keys, own)
    keys |= _pinned(keys, lock) | {"report_to": "none"}
    with TemporaryDirectory(prefix="locked-recipe-") as folder:
        path = Path(folder) / "recipe.yaml"
        write_json_atomically(path, {**keys, **own, "output_dir": str(output_dir)})  # JSON is YAML
        flags = _precision_flags(lock, own)
        recipe = parse_recipe(ARGUMENTS[program], [*flags, *overrides, "--config", str(path)])
        yield LockedRecipe(program, recipe, path, flags)


def _precision_flags(lock: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[str, ...]:
    """The precision as flags: those of this command line (`own`), else those of the locked run's."""
    asked = (lock.get("precision") or {}).get("wished_by") == WishedBy.COMMAND_LINE
    keys = {**(lock["recipe"] if asked else {}), **own}
    return tuple(word for key in PRECISION_KEYS if key in keys for word in (f"--{key}", str(keys[key]).lower()))


def is_push_key(key: str) -> bool:
    """Whether a recipe key is about pushing to the Hub."""
    return key.startswith(("push_to_hub", "hub_"))


def _pinned(keys: Mapping[str, Any], lock: Mapping[str, Any]) -> dict[str, Any]:
    """The Hub commits that the run resolved, to replace branches and missing revisions."""
    pinned: dict[str, Any] = {}
    for model in filter(None, (lock["base"], lock["adapter"])):
        commit = model["fingerprint"].removeprefix("hub:")  # org/name@commit
        if commit == model["fingerprint"]:
            continue
        places = [key for key in ("model_name_or_path", "adapter_name_or_path") if _names(keys.get(key), model)]
        pinned |= dict.fromkeys(places, commit) | ({"model_revision": "main"} if "model_name_or_path" in places else {})
    trained = [one for one in lock["datasets"] if one["split"] == "train"]
    revisions = [part["revision"] for one in trained for part in one.get("parts", [one])]
    if keys.get("datasets"):
        parts = zip(keys["datasets"], revisions, strict=True)
        pinned["datasets"] = [{**part, **({"revision": commit} if commit else {})} for part, commit in parts]
    elif revisions and revisions[0]:
        pinned["dataset_revision"] = revisions[0]
    return pinned


def _names(value: Any, model: Mapping[str, Any]) -> bool:
    """Whether a recipe's value is the model's id, at any revision."""
    return str(value).partition("@")[0] == model["name_or_path"]


def _refuse_code_of_others(keys: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    options = keys.get("model_init_kwargs") or {}
    asked = {
        "trust_remote_code": keys.get("trust_remote_code"),
        "model_init_kwargs": isinstance(options, Mapping) and options.get("trust_remote_code"),
        "attn_implementation": "/" in str(keys.get("attn_implementation", "")),  # a kernel of the Hub
    }
    code = [key for key, is_asked in asked.items() if is_asked and key not in own]
    if code:
        problem = f"the locked recipe runs code from the Hub ({', '.join(f'{key}: {keys[key]}' for key in code)})"
        raise UserError(problem, f"repeat --{code[0]} on the command line if you trust that code")
