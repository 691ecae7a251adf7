"""Tiny real trainings as sft.py and dpo.py make them, with the examination around them."""

from pathlib import Path
from typing import Any

from transformers import Trainer
from trl import DPOTrainer

from pipelines.postflight import Baseline, PostflightReport, measure_baseline, read_general_text, run_postflight
from pipelines.preflight.check_context import Stage
from pipelines.recipe import Recipe
from pipelines.training.callbacks.samples import SampleAnswersCallback
from pipelines.training.data.instruction_set import instruction_set, sample_prompt_ids
from pipelines.training.data.preference_pairs import preference_set, tokenize_pairs
from pipelines.training.data.rows import recipe_rows
from pipelines.training.fine_tuning import load_bundle, load_training_tokenizer, save_trained, sft_trainer
from pipelines.training.preference_tuning import load_policy, load_policy_tokenizer, preference_trainer
from pipelines.training.starting_point import starting_point
from tests.preflight.contexts import recipe_of, rows_of

GENERAL = "".join(f"The river {n} runs past {n + 3} old mills and {n * 7} gardens.\n\n" for n in range(120))
SHORT = {
    "max_steps": 4, "logging_steps": 1, "disable_tqdm": True, "use_cpu": True, "save_strategy": "no", "n_samples": 1,
    "sample_max_new_tokens": 4, "learning_rate": 1e-2, "lora_dropout": 0.0, "eval_steps": 2,
}  # fmt: skip
FULL = dict.fromkeys(("use_peft", "lora_r", "lora_target_modules", "lora_dropout"))  # a recipe without LoRA's keys


def sft_recipe(folder: Path, base: Path, **keys: Any) -> Recipe:
    """A recipe of a few steps over eight rows, evaluated on four."""
    rows, held_out = keys.pop("rows", rows_of(8)), keys.pop("held_out", rows_of(12)[8:])
    return recipe_of(folder, base, rows, held_out, **{**SHORT, **keys})


def sft(recipe: Recipe) -> Trainer:
    """The trainer of sft.py for `recipe`, not yet run."""
    data, training, model = recipe.arguments
    rows = instruction_set(
        *recipe_rows(data, training.seed, evaluates=training.eval_strategy != "no"), data, training
    )  # fmt: skip
    start = starting_point(model, None)
    tokenizer, new_tokens = load_training_tokenizer(start, training, conversational=rows.conversational)
    train, _, held_out = rows.tokenize(tokenizer)
    trainer = sft_trainer(load_bundle(start, model, training, tokenizer, new_tokens), training, train, held_out)
    prompts, folder = sample_prompt_ids(rows, tokenizer), Path(training.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    trainer.add_callback(SampleAnswersCallback(tokenizer, prompts, held_out, folder, data.sample_max_new_tokens))
    return trainer


def dpo(recipe: Recipe) -> DPOTrainer:
    """The trainer of dpo.py for `recipe`, not yet run."""
    data, training, model = recipe.arguments
    start = starting_point(model, data.adapter_name_or_path)
    train_rows, held_out_rows = preference_set(data, training)
    tokenizer, new_tokens = load_policy_tokenizer(start)
    train, _ = tokenize_pairs(train_rows, tokenizer, training.max_length, data.long_rows)
    held_out = None
    if held_out_rows is not None:
        held_out, _ = tokenize_pairs(held_out_rows, tokenizer, training.max_length, data.long_rows)
    policy = load_policy(start, model, training, tokenizer, new_tokens)
    Path(training.output_dir).mkdir(parents=True, exist_ok=True)
    return preference_trainer(policy, training, train, held_out, data)


def pairs_of(n: int) -> list[dict[str, str]]:
    """Preferences out of `rows_of`."""
    return [
        {"instruction": row["instruction"], "input": "", "chosen": row["output"], "rejected": "I would rather not."}
        for row in rows_of(n)
    ]


def dpo_recipe(folder: Path, base: Path, **keys: Any) -> Recipe:
    """The same for preferences."""
    return sft_recipe(folder, base, rows=pairs_of(8), held_out=pairs_of(12)[8:], stage=Stage.DPO, **keys)


def examined(trainer: Trainer, general: Path | None = None) -> tuple[Baseline, PostflightReport]:
    """Train, save and look, in the order of the programs."""
    before = measure_baseline(trainer, read_general_text(None if general is None else str(general)))
    trainer.train()
    if trainer.args.eval_strategy != "no":
        trainer.evaluate()
    save_trained(trainer, Path(str(trainer.args.output_dir)))
    return before, run_postflight(trainer, before)


def ids_of(found: PostflightReport) -> set[str]:
    """The ids of the findings."""
    return {finding.id for finding in found.findings}
