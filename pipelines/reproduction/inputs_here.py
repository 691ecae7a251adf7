"""Read the inputs of a locked run on this machine the way the run does, without loading weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.recipe import Recipe, Stage
from pipelines.records import Inputs, describe_machine, git_state, plain, versions
from pipelines.reproduction.locked_recipe import LockedRecipe
from pipelines.training.data.instruction_set import instruction_set
from pipelines.training.data.preference_pairs import preference_set
from pipelines.training.data.rows import recipe_rows
from pipelines.training.fine_tuning import load_training_tokenizer
from pipelines.training.preference_tuning import load_policy_tokenizer
from pipelines.training.pretrain.corpus import open_corpus
from pipelines.training.pretrain.pretraining_model import tokenizer_to_pretrain
from pipelines.training.run_inputs import fine_tuning_inputs, pretraining_inputs
from pipelines.training.starting_point import starting_point

_PLACES = (
    "model_name_or_path", "adapter_name_or_path", "dataset_name", "tokenizer_name_or_path", "chat_template_path",
    "general_text",
)  # fmt: skip


def lock_here(lock: Mapping[str, Any], again: LockedRecipe) -> dict[str, Any]:
    """Return the lock that a run of `again` would write here: inputs, versions, code and machine.

    Raises `UserError` for a missing input, with the key that can name another path.
    """
    try:
        inputs = _INPUTS[again.program](again.recipe)
    except UserError as error:
        raise _with_place(error, again.recipe.keys) from error
    threads = {key: value for key, value in lock["machine"].items() if key == "n_threads"}  # run_again sets them
    return {
        "recipe": plain(again.recipe.keys),
        "precision": again.recipe.precision and again.recipe.precision.to_json(),
        **inputs.to_json(),
        "versions": versions(),
        "git": git_state(),
        "n_processes": lock["n_processes"],
        "machine": describe_machine() | threads,
    }


def _sft_inputs(recipe: Recipe) -> Inputs:
    data, training, model = recipe.arguments
    train, held_out = recipe_rows(data, training.seed, evaluates=training.eval_strategy != "no")
    rows = instruction_set(train, held_out, data, training, recipe.keys)
    start = starting_point(model, data.adapter_name_or_path, recipe.keys)
    tokenizer, _ = load_training_tokenizer(start, training, conversational=rows.conversational)
    return fine_tuning_inputs(data, (train, held_out), tokenizer, start)


def _dpo_inputs(recipe: Recipe) -> Inputs:
    data, training, model = recipe.arguments
    start = starting_point(model, data.adapter_name_or_path, recipe.keys)
    tokenizer, _ = load_policy_tokenizer(start)
    rows = preference_set(data, training)
    return fine_tuning_inputs(data, rows, tokenizer, start)


def _pretraining_inputs(recipe: Recipe) -> Inputs:
    data, training, model = recipe.arguments
    tokenizer = tokenizer_to_pretrain(data, model)
    corpus = open_corpus(data, training, tokenizer)
    return pretraining_inputs(data, corpus, tokenizer, model)


_INPUTS = {Stage.SFT: _sft_inputs, Stage.DPO: _dpo_inputs, Stage.PRETRAIN: _pretraining_inputs}


def _with_place(error: UserError, keys: Mapping[str, Any]) -> UserError:
    """Add the current folder, and the flag for another path, to an error about a missing path."""
    places = [(key, keys.get(key)) for key in _PLACES]
    places += [("datasets", part.get("path")) for part in plain(keys.get("datasets") or [])]
    absent = [key for key, place in places if place and not Path(str(place)).exists() and str(place) in str(error)]
    if not absent:
        return error
    return UserError(
        f"{error.problem} (from {Path.cwd()})",
        f"start in the folder of the locked run, or name the path with --{absent[0]} PATH: the fingerprint is compared",
    )
