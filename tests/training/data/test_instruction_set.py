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
    others = {key: keys[key] for key in keys if key not in own}
    training = SFTConfig(output_dir="unused", bf16=False, report_to="none", **others)
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
def test_the_keys_of_trl_choose_the_loss(row, keys, every_token):
    assert rows_of(row, **keys).trains_every_token is every_token


@pytest.mark.parametrize(
    ("row", "train_on", "keys", "complaint"),
    [
        (_TALK, "last_turn", {"completion_only_loss": False}, "train_on: last_turn contradicts completion_only_loss"),
        (_TALK, "last_turn", {"assistant_only_loss": False}, "train_on: last_turn contradicts assistant_only_loss"),
        (_PLAIN, "last_turn", {}, "conversations"),
        (_TALK, "last", {}, "all_turns, last_turn, marked"),
    ],
)
def test_a_wrong_train_on_is_refused(row, train_on, keys, complaint):
    with pytest.raises(UserError, match=complaint):
        rows_of(row, train_on=train_on, **keys)
