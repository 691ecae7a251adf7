"""Faults of length and packing, of the schedule, and of keys that are not read."""

from tests.planted_faults.pair import Pair, Stage
from tests.planted_faults.sample_rows import conversations, preferences, rows_in, with_long_answers, with_long_inputs


def answers_of_pairs_cut() -> Pair:
    keys = {"max_length": 48, "long_rows": "keep_end_token"}
    return Pair(preferences(rows_in("english")), keys=keys, stage=Stage.DPO)


def chats_without_answer() -> Pair:
    """Every eighth chat was exported before its answer came."""
    chats = conversations(rows_in("english"), 1)
    return Pair([{"messages": chat["messages"][:1]} if n % 8 == 0 else chat for n, chat in enumerate(chats)])


def tokens_dropped() -> Pair:
    """Seven long rows among ninety short ones: a few rows, but half of the tokens."""
    english = rows_in("english")
    return Pair([*english, *with_long_answers(english, 14)], keys={"max_length": 1024})


def prompts_cut() -> Pair:
    keys = {"max_length": 512, "long_rows": "truncate_prompt"}
    return Pair(with_long_inputs(rows_in("english"), 6), keys=keys)


def longer_than_positions() -> Pair:
    """GPT-2 has 1,024 positions."""
    return Pair(with_long_answers(rows_in("english"), 10), keys={"max_length": 4096})


def lora_rate_for_all_weights() -> Pair:
    """LoRA's learning rate with a zero too many, for full fine-tuning."""
    keys = {"use_peft": None, "lora_r": None, "lora_alpha": None, "lora_dropout": None, "lora_target_modules": None}
    return Pair(rows_in("english"), keys={**keys, "learning_rate": 2e-3})


def rate_of_fine_tuning_for_preferences() -> Pair:
    return Pair(preferences(rows_in("english")), keys={"learning_rate": 2e-3}, stage=Stage.DPO)
