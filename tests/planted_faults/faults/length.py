"""Faults of length and packing, of the schedule, and of keys that are not read."""

from tests.planted_faults.families import Family
from tests.planted_faults.faults.fault import ERROR, WARNING, PlantedFault
from tests.planted_faults.pair import Pair, Stage
from tests.planted_faults.sample_rows import (
    conversations,
    preferences,
    rows_in,
    with_long_answers,
    with_long_inputs,
)


def answers_cut() -> Pair:
    return Pair(rows_in("english"), keys={"max_length": 160, "long_rows": "keep_end_token"})


def answers_of_pairs_cut() -> Pair:
    keys = {"max_length": 48, "long_rows": "keep_end_token"}
    return Pair(preferences(rows_in("english")), keys=keys, stage=Stage.DPO)


def rows_dropped() -> Pair:
    return Pair(rows_in("english"), keys={"max_length": 64})


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


def contaminating_packing() -> Pair:
    return Pair(rows_in("english"), keys={"packing": True, "packing_strategy": "wrapped"})


def longer_than_positions() -> Pair:
    """GPT-2 has 1,024 positions."""
    return Pair(with_long_answers(rows_in("english"), 10), keys={"max_length": 4096})


def lora_rate_for_all_weights() -> Pair:
    """LoRA's learning rate with a zero too many, for full fine-tuning."""
    keys = {"use_peft": None, "lora_r": None, "lora_alpha": None, "lora_dropout": None, "lora_target_modules": None}
    return Pair(rows_in("english"), keys={**keys, "learning_rate": 2e-3})


def rate_with_another_exponent() -> Pair:
    """2e-4 was meant."""
    return Pair(rows_in("english"), keys={"learning_rate": 2e-1})


def rate_of_fine_tuning_for_preferences() -> Pair:
    return Pair(preferences(rows_in("english")), keys={"learning_rate": 2e-3}, stage=Stage.DPO)


def warmup_of_a_long_run() -> Pair:
    return Pair(rows_in("english"), keys={"warmup_steps": 500})


def evaluation_unused() -> Pair:
    return Pair(rows_in("english"), keys={"eval_strategy": "no", "eval_steps": None}, folder_share=0.1)


def renamed_key() -> Pair:
    return Pair(rows_in("english"), keys={"max_length": None, "max_seq_length": 1024})


def misspelt_key() -> Pair:
    return Pair(rows_in("english"), keys={"learning_rate": None, "learnig_rate": 2e-4})


_NOT_SFT = "it is a recipe for another program than trl sft"

FAULTS = (
    PlantedFault(
        "ANSWERS_CUT", "most answers are longer than max_length leaves room for", Family.CHATML, ERROR, answers_cut,
        trl_says=r"(?i)truncat|longer than",
    ),
    PlantedFault(
        "ANSWERS_CUT", "preferences of which most answers are cut", Family.OWN, ERROR, answers_of_pairs_cut,
        trl_cannot=_NOT_SFT,
    ),
    PlantedFault(
        "ROWS_DROPPED", "most rows are longer than max_length and dropped", Family.OWN, ERROR, rows_dropped,
        trl_says=r"(?i)truncat|longer than|dropp",
    ),
    PlantedFault(
        "ROWS_DROPPED", "chats that end with the user's turn", Family.LLAMA3, ERROR, chats_without_answer,
        trl_says=r"(?i)assistant|no (trained|valid) token",
    ),
    PlantedFault(
        "TOKENS_DROPPED", "the few rows that are dropped hold half of the tokens", Family.LLAMA3, WARNING,
        tokens_dropped,
        trl_says=r"(?i)truncat|longer than|dropp",
    ),
    PlantedFault(
        "PROMPTS_CUT", "passages are cut that the questions are about", Family.GPT2, WARNING, prompts_cut,
        trl_says=r"(?i)truncat|longer than",
    ),
    PlantedFault(
        "PACKING_CONTAMINATES", "packing_strategy: wrapped", Family.LLAMA3, ERROR, contaminating_packing,
        trl_says=r"(?i)packing.*(contaminat|flash|attention)|cross-contaminat",
    ),
    PlantedFault(
        "LONGER_THAN_POSITIONS", "rows of more tokens than GPT-2 has positions", Family.GPT2, ERROR,
        longer_than_positions,
        trl_says=r"(?i)longer than the specified maximum|positions?\b|index out of range",
    ),
    PlantedFault(
        "LEARNING_RATE_UNUSUAL", "full fine-tuning with ten times LoRA's learning rate", Family.CHATML, WARNING,
        lora_rate_for_all_weights,
        trl_says=r"(?i)learning.rate",
    ),
    PlantedFault(
        "LEARNING_RATE_UNUSUAL", "learning_rate: 2e-1 for LoRA", Family.GPT2, WARNING, rate_with_another_exponent,
        trl_says=r"(?i)learning.rate",
    ),
    PlantedFault(
        "LEARNING_RATE_UNUSUAL", "DPO with ten times the learning rate of LoRA's fine-tuning", Family.CHATML, WARNING,
        rate_of_fine_tuning_for_preferences,
        trl_cannot=_NOT_SFT,
    ),
    PlantedFault(
        "WARMUP_LONGER_THAN_RUN", "warmup_steps: 500 in a run of 72 steps", Family.OWN, ERROR, warmup_of_a_long_run,
        trl_says=r"(?i)warm.?up",
    ),
    PlantedFault(
        "EVALUATION_UNUSED", "a validation split that nothing is evaluated on", Family.GPT2, WARNING,
        evaluation_unused,
        trl_says=r"(?i)eval_strategy|evaluat",
    ),
    PlantedFault(
        "RENAMED_KEY", "max_seq_length, which is max_length today", Family.CHATML, ERROR, renamed_key,
        trl_says=r"max_seq_length",
    ),
    PlantedFault(
        "UNKNOWN_KEY", "learnig_rate", Family.GPT2, ERROR, misspelt_key,
        also={"LEARNING_RATE_UNUSUAL": "without the key it is TRL's default for all weights, 2e-5, and this is LoRA"},
        trl_says=r"learnig_rate",
    ),
)  # fmt: skip
