"""Faults of keys that do not fit each other or the rows, in all three stages."""

from pathlib import Path

from tests.planted_faults.families import change_json
from tests.planted_faults.pair import Pair, Stage
from tests.planted_faults.sample_rows import documents, preferences, rows_in, with_long_answers


def text_for_a_block_and_a_half() -> Pair:
    return Pair(documents(rows_in("english")[:24], 2), keys={"max_length": 1024}, stage=Stage.PRETRAIN)


def blocks_beyond_positions() -> Pair:
    return Pair(documents(rows_in("english")), keys={"max_length": 4096}, stage=Stage.PRETRAIN)


def _with_other_end(base: Path) -> None:
    """As after a conversion for chat: generation stops at the end of a turn alone."""
    change_json(base / "generation_config.json", lambda facts: facts.update(eos_token_id=5))


def documents_with_another_end() -> Pair:
    return Pair(documents(rows_in("english")), change_base=_with_other_end, stage=Stage.PRETRAIN)


def held_out_rows_too_long() -> Pair:
    rows = rows_in("english")
    return Pair(rows[:72], held_out=with_long_answers(rows[72:], 12))


def empty_and_long() -> Pair:
    """A third without an answer, and a third longer than max_length."""
    rows = rows_in("english")
    return Pair([*rows[:32], *({**row, "output": ""} for row in rows[32:48]), *with_long_answers(rows[48:], 3)],
                keys={"max_length": 448})  # fmt: skip


def one_giant_row() -> Pair:
    """The positions of GPT-2 are too few for it, so that no max_length keeps it."""
    rows = rows_in("english")
    return Pair([*rows[:60], *with_long_answers(rows[60:], 36)])


def three_rows() -> Pair:
    return Pair(rows_in("english")[:3], keys={"num_train_epochs": 1})


def flipped_pairs() -> Pair:
    pairs = preferences(rows_in("english"))
    flipped = [{**one, "chosen": one["rejected"], "rejected": one["chosen"]} for one in pairs[:12]]
    return Pair([*pairs, *flipped], stage=Stage.DPO)
