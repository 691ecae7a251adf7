"""The recipe of a lock, to be run again: commits pinned, nothing sent anywhere, nothing of anybody else's code."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import TrainingArguments
from trl import DPOConfig, ModelConfig, SFTConfig

from pipelines.errors import UserError
from pipelines.files import write_json_atomically
from pipelines.recipe import (
    DataArguments,
    PreferenceArguments,
    PretrainingArguments,
    Recipe,
    parse_recipe,
    written_keys,
)
from pipelines.recipe.arguments import chosen


class Program(StrEnum):
    """The programs that write locks, by their name there."""

    SFT = "sft"
    DPO = "dpo"
    PRETRAIN = "pretrain"


_ARGUMENTS: dict[Program, list[type]] = {
    Program.SFT: [DataArguments, SFTConfig, ModelConfig],
    Program.DPO: [PreferenceArguments, DPOConfig, ModelConfig],
    Program.PRETRAIN: [PretrainingArguments, TrainingArguments, ModelConfig],
}

# A second run is begun anew, and stays here: it pushes nothing and is in no tracker. A lock may be somebody else's, so
# it sets no variable of the environment.
_LEFT_OUT = ("resume", "resume_from_checkpoint", "project", "env")
_CODE_OF_OTHERS = "trust_remote_code"


@dataclass(frozen=True)
class LockedRecipe:
    """The recipe of a lock for its `program`, parsed, and the file that holds it."""

    program: Program
    recipe: Recipe
    path: Path


@contextmanager
def locked_recipe(lock: Mapping[str, Any], overrides: Sequence[str], output_dir: Path) -> Iterator[LockedRecipe]:
    """The recipe of `lock` with the `overrides` (--key value ...) over it; its file is gone after the block.

    Raises `UserError` for a recipe that would run code from the Hub unless the overrides say so themselves.
    """
    program = chosen(Program, str(lock["program"]), "program")
    own = written_keys(overrides)
    keys = {key: value for key, value in lock["recipe"].items() if key not in _LEFT_OUT and not is_push_key(key)}
    _refuse_code_of_others(keys, own)
    keys |= _pinned(keys, lock) | {"report_to": "none"}
    with TemporaryDirectory(prefix="locked-recipe-") as folder:
        path = Path(folder) / "recipe.yaml"
        write_json_atomically(path, {**keys, **own, "output_dir": str(output_dir)})  # each JSON text is YAML too
        recipe = parse_recipe(_ARGUMENTS[program], [*overrides, "--config", str(path)])
        yield LockedRecipe(program, recipe, path)


def is_push_key(key: str) -> bool:
    """Whether a recipe key is about what is sent to the Hub."""
    return key.startswith(("push_to_hub", "hub_"))


def _pinned(keys: Mapping[str, Any], lock: Mapping[str, Any]) -> dict[str, Any]:
    """The commits of the Hub that the run has resolved, in place of a branch or of none."""
    pinned: dict[str, Any] = {}
    if lock["base"] and lock["base"]["revision"]:
        pinned["model_revision"] = lock["base"]["revision"]
    trained = [one for one in lock["datasets"] if one["split"] == "train"]
    revisions = [part["revision"] for one in trained for part in one.get("parts", [one])]
    if keys.get("datasets"):
        parts = zip(keys["datasets"], revisions, strict=True)
        pinned["datasets"] = [{**part, **({"revision": commit} if commit else {})} for part, commit in parts]
    elif revisions and revisions[0]:
        pinned["dataset_revision"] = revisions[0]
    return pinned


def _refuse_code_of_others(keys: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    asked = [key for key in (_CODE_OF_OTHERS, "model_init_kwargs") if _CODE_OF_OTHERS in (key, *_names(keys.get(key)))]
    asked = [key for key in asked if keys.get(key)]
    if "/" in str(keys.get("attn_implementation", "")):  # a kernel of the Hub
        asked.append("attn_implementation")
    asked = [key for key in asked if key not in own]
    if asked:
        raise UserError(
            expected="a lock whose recipe runs no code from the Hub",
            got=", ".join(f"{key}: {keys[key]}" for key in asked),
            remedy=f"repeat --{asked[0]} on the command line if you trust that code",
        )


def _names(value: Any) -> list[str]:
    return list(value) if isinstance(value, Mapping) else []
