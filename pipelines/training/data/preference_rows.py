"""The rows of a preference set that a recipe names; `data_prep.conversation` reads each."""

import sys

from datasets import Dataset, Value
from trl import DPOConfig

from data_prep.conversation import PROMPT_COLUMNS, unread_preference_columns
from pipelines.errors import UserError
from pipelines.recipe.arguments import PreferenceArguments, TruncationPolicy
from pipelines.training.data.rows import recipe_rows

_FORMATS = (
    "instruction + input + chosen + rejected, prompt + chosen + rejected (texts or messages), "
    "conversations + chosen + rejected, or chosen + rejected as whole conversations"
)


def refuse_other_columns(rows: Dataset, name: str) -> None:
    """Raise `UserError`, with the columns found and the formats known, if `rows` are no preferences."""
    columns = rows.column_names
    has_prompt = any(column in columns for column in PROMPT_COLUMNS)
    if {"chosen", "rejected"} <= set(columns):
        holds_turns = not isinstance(rows.features["chosen"], Value)  # whole conversations, which begin with the prompt
        if has_prompt or holds_turns or not len(rows):
            return
    raise UserError(
        f"{name} has the columns {', '.join(columns)}, expected a preference format: {_FORMATS}",
        "map them with data_prep/build_preferences.py --column_map instruction=...,chosen=...,rejected=...",
    )


def preference_set(arguments: PreferenceArguments, training: DPOConfig) -> tuple[Dataset, Dataset | None]:
    """The rows that a recipe trains on, and those it holds out. Raises `UserError` for a policy or columns that do not
    fit preferences, and as `recipe_rows`."""
    refuse_splitting(arguments.long_rows)
    train, held_out = recipe_rows(arguments, training.seed, evaluates=training.eval_strategy != "no")
    for rows in filter(None, (train, held_out)):
        refuse_other_columns(rows, arguments.dataset_name or "datasets")
    unread = unread_preference_columns(train.column_names)
    if unread and training.process_index == 0:
        print(f"not read of the pairs: {', '.join(unread)}", file=sys.stderr, flush=True)
    return train, held_out


def refuse_splitting(long_rows: TruncationPolicy) -> None:
    """Raise `UserError` for `split`: half an answer cannot be preferred to half of another."""
    if long_rows is TruncationPolicy.SPLIT:
        raise UserError(
            "long_rows is split, which pairs do not have", "set drop, truncate_prompt, keep_end_token or error"
        )
