"""Which tokens of a recipe's rows are in the loss: the keys of TRL and of this project, alone and together."""

from typing import Any

import pytest
from datasets import Dataset
from trl import SFTConfig, pack_dataset

from pipelines.errors import UserError
from pipelines.recipe.arguments import InstructionArguments
from pipelines.training.data.instruction_set import InstructionSet, instruction_set
from pipelines.training.data.ledger import RowFate

_TALK = {"messages": [{"role": "user", "content": "one?"}, {"role": "assistant", "content": "1"}]}
_INSTRUCTION = {"instruction": "one?", "output": "1"}
_PLAIN = {"text": "one"}


def rows_of(row: dict[str, Any] | list[dict[str, Any]], **keys: Any) -> InstructionSet:
    own = {key: keys[key] for key in keys if key in ("train_on", "long_rows")}
    others = {key: keys[key] for key in keys if key not in own}
    training = SFTConfig(output_dir="unused", bf16=False, report_to="none", **others)
    rows = row if isinstance(row, list) else [row]
    return instruction_set(Dataset.from_list(rows), None, InstructionArguments(**own), training, keys)


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


_BFD_SPLIT = {"packing": True, "packing_strategy": "bfd_split"}


def test_bfd_split_packs_the_same_sequences_as_trl_does_of_whole_rows(tokenizer):
    texts = [{"text": f"row {n} " * n} for n in range(1, 30)]
    whole, _, _ = rows_of(texts, max_length=None).tokenize(tokenizer)
    pieces, ledger, _ = rows_of(texts, max_length=50, **_BFD_SPLIT).tokenize(tokenizer)
    n_long = sum(len(ids) > 50 for ids in whole["input_ids"])
    assert ledger.fates[RowFate.SPLIT] == n_long > 10
    assert ledger.fates[RowFate.DROPPED] == ledger.n_tokens_lost == 0
    assert not any(len(ids) % 50 == 1 for ids in whole["input_ids"]), "no end token begins a piece"
    ours, trls = (pack_dataset(one, 50, "bfd_split")[:] for one in (pieces, whole))
    assert ours == trls


def test_an_end_token_is_never_split_off_alone_where_it_would_not_be_trained(tokenizer):
    rows = rows_of({"text": "x" * 99}, max_length=None).tokenize(tokenizer)[0]
    max_length = len(rows["input_ids"][0]) - 1
    pieces, _, _ = rows_of({"text": "x" * 99}, max_length=max_length, **_BFD_SPLIT).tokenize(tokenizer)
    assert [len(ids) for ids in pieces["input_ids"]] == [max_length - 1, 2]


@pytest.mark.parametrize(
    "keys", [{"long_rows": "drop", **_BFD_SPLIT}, {"packing": True, "packing_strategy": "bfd"}, {}]
)
def test_a_written_policy_and_other_packing_split_no_rows(tokenizer, keys):
    texts = [{"text": "short"}, {"text": "long " * 40}]
    _, ledger, _ = rows_of(texts, max_length=50, **keys).tokenize(tokenizer)
    assert (ledger.fates[RowFate.SPLIT], ledger.fates[RowFate.DROPPED]) == (0, 1)
