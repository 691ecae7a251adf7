"""Which tokens of a recipe's rows are in the loss: the keys of TRL and of this project, alone and together."""

from typing import Any

import pytest
from datasets import Dataset
from trl import SFTConfig

from pipelines.errors import UserError
from pipelines.recipe.arguments import InstructionArguments
from pipelines.training.data.instruction_set import InstructionSet, instruction_set

_TALK = {"messages": [{"role": "user", "content": "one?"}, {"role": "assistant", "content": "1"}]}
_INSTRUCTION = {"instruction": "one?", "output": "1"}
_PLAIN = {"text": "one"}


def rows_of(row: dict[str, Any], **keys: Any) -> InstructionSet:
    own = {key: keys[key] for key in keys if key == "train_on"}
    training = SFTConfig(
        output_dir="unused", bf16=False, report_to="none", **{k: keys[k] for k in keys if k not in own}
    )
    return instruction_set(Dataset.from_list([row]), None, InstructionArguments(**own), training, keys)


@pytest.mark.parametrize(
    ("row", "keys", "every_token"),
    [
        (_TALK, {}, False),
        (_TALK, {"assistant_only_loss": True}, False),
        (_TALK, {"assistant_only_loss": False}, True),
        (_TALK, {"assistant_only_loss": False, "completion_only_loss": True}, False),
        (_TALK, {"completion_only_loss": False}, True),
        (_INSTRUCTION, {"assistant_only_loss": False}, False),
        (_INSTRUCTION, {"completion_only_loss": False}, True),
    ],
)
def test_a_loss_on_every_token_is_what_a_recipe_asks_for_in_trl_s_keys(
    row: dict[str, Any], keys: dict[str, Any], every_token: bool
) -> None:
    assert rows_of(row, **keys).trains_every_token is every_token


@pytest.mark.parametrize("key", ["completion_only_loss", "assistant_only_loss"])
def test_train_on_and_a_loss_on_every_token_are_refused_together(key: str) -> None:
    with pytest.raises(UserError, match=f"train_on: last_turn contradicts {key}: false"):
        rows_of(_TALK, train_on="last_turn", **{key: False})


def test_train_on_is_refused_for_plain_text() -> None:
    with pytest.raises(UserError, match="conversations"):
        rows_of(_PLAIN, train_on="last_turn")


def test_an_unknown_choice_of_train_on_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="all_turns, last_turn, marked"):
        rows_of(_TALK, train_on="last")
