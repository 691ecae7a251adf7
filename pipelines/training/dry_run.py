"""Dry run: one step of the recipe's trainer on a model of one layer, before rows or weights are read.

TRL, transformers and their optional packages reject recipes at different times: when the trainer is built, at the first
step, after the first evaluation. One step of the real trainer finds all of these in a second.
"""

import contextlib
import copy
import dataclasses
import gc
import io
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.integrations import get_reporting_integration_callbacks
from transformers.trainer_utils import IntervalStrategy, SaveStrategy
from transformers.utils import is_liger_kernel_available
from trl import DPOConfig, ModelConfig, SFTConfig

from pipelines.errors import Diverged, UserError
from pipelines.modeling.loading import attach_quietly
from pipelines.recipe import Recipe
from pipelines.training.callbacks.local_trackio import LocalTrackio
from pipelines.training.callbacks.samples import SampleAnswersCallback
from pipelines.training.fine_tuning import ModelBundle, sft_trainer
from pipelines.training.library_checks import (
    LIBRARY_ERRORS,
    message_of,
    refuse_impossible_base,
    refuse_impossible_schedule,
)
from pipelines.training.preference_tuning import preference_trainer
from pipelines.training.pretrain.pretraining import PretrainingTrainer
from pipelines.training.pretrain.pretraining_model import refuse_contradictions
from pipelines.training.starting_point import starting_point

_N_TOKENS, _MAX_ROWS = 32, 64
_NEVER_AT_FAULT = ("output_dir", "use_cpu", "eval_strategy", "save_strategy", "logging_nan_inf_filter")
_PROMPT, _ANSWER = [3, 4], [5, 6, 1]  # ids; 1 ends an answer


def refuse_impossible_training(recipe: Recipe) -> None:
    """Raise `UserError` if the trainer of `recipe` fails to build, step, evaluate or save, or its base or adapter fails
    to build.

    The fix names a key without which it works, found by trying. Runs of several processes are not checked.
    """
    data, training, model = recipe.arguments
    refuse_impossible_schedule(training)
    _refuse_trainer(recipe)
    if isinstance(training, SFTConfig | DPOConfig):
        start = starting_point(model, data.adapter_name_or_path, recipe.keys)
        options = cast(dict[str, Any] | None, training.model_init_kwargs)
        refuse_impossible_base(start.base, model, options, new_adapter=start.adapter is None)
        return
    refuse_contradictions(data, model)
    if model.model_name_or_path is not None:
        refuse_impossible_base(model.model_name_or_path, model, new_adapter=True)


def _refuse_trainer(recipe: Recipe) -> None:
    data, training, model = recipe.arguments
    if training.world_size > 1 or training.fsdp or training.deepspeed:
        return
    error = _error_of(training, model, data)
    if error is None:
        return
    culprits = _culprits(recipe, message_of(error))
    library = "TRL" if isinstance(training, SFTConfig | DPOConfig) else "transformers"
    written = ", ".join(f"{key}: {recipe.keys[key]}" for key in culprits)
    raise UserError(
        f"{library} rejects the recipe: {message_of(error)}" + (f" ({written})" if written else ""),
        f"change or remove {' or '.join(culprits)}" if culprits else "change the keys in the message",
        finding="TRAINING_IMPOSSIBLE",
    ) from error


def _culprits(recipe: Recipe, message: str) -> list[str]:
    """Keys without any one of which the trainer works; those that `message` mentions come first."""
    data, training, model = recipe.arguments
    known = {one.name for one in dataclasses.fields(training) if one.init}
    written = {key: value for key, value in recipe.keys.items() if key in known}

    def works_without(key: str) -> bool:
        try:
            with _silence():
                changed = type(training)(**{name: value for name, value in written.items() if name != key})
        except LIBRARY_ERRORS:
            return False
        return _error_of(changed, model, data) is None

    said = message.lower()
    possible = {key: str(value).lower().strip("[]'") for key, value in written.items() if key not in _NEVER_AT_FAULT}
    mentioned = [key for key, value in possible.items() if key in said or value in said]
    others = [key for key in possible if key not in mentioned]
    return [key for key in mentioned if works_without(key)] or [key for key in others if works_without(key)]


def _error_of(training: TrainingArguments, model: ModelConfig, data: Any) -> BaseException | None:
    """The error of a library in a dry run, None if it succeeds. This project's own errors are raised."""
    with tempfile.TemporaryDirectory() as folder, _silence():
        try:
            _compile_something(training)
            trainer = _trainer(_short(training, folder), model, data)
            gc.freeze()  # the trainer collects garbage, which takes 0.5 s over the objects of all imports
            for callback in (*get_reporting_integration_callbacks(training.report_to), LocalTrackio):
                trainer.remove_callback(callback)  # a tracker would open a run
            trainer.train()
        except Diverged:  # a random model on random rows
            return None
        except UserError as error:
            if error.__cause__ is None:
                raise
            return error.__cause__
        except LIBRARY_ERRORS as error:
            return error
    return None


def _compile_something(training: TrainingArguments) -> None:
    """Check for a compiler. Compiling the model would take a minute."""
    if training.torch_compile:
        backend = str(training.torch_compile_backend)
        torch.compile(torch.sin, backend=backend, mode=training.torch_compile_mode)(torch.ones(2))


def _short(training: TrainingArguments, folder: str) -> Any:
    """Shorten the recipe to one step in `folder`, with an evaluation and a checkpoint if it has them."""
    short: Any = copy.copy(training)
    short.output_dir, short.push_to_hub, short.disable_tqdm, short.max_steps = folder, False, True, 1
    short.resume_from_checkpoint = None
    short.per_device_train_batch_size = min(short.per_device_train_batch_size, _MAX_ROWS)
    short.per_device_eval_batch_size = min(short.per_device_eval_batch_size, _MAX_ROWS)
    short.gradient_accumulation_steps, short.dataset_num_proc = min(short.gradient_accumulation_steps, 2), None
    short.logging_steps = short.eval_steps = short.save_steps = 1
    short.eval_strategy = IntervalStrategy.NO if short.eval_strategy == "no" else IntervalStrategy.STEPS
    if short.save_strategy == SaveStrategy.EPOCH:
        short.save_strategy = SaveStrategy.STEPS
    short.torch_compile = False
    if short.optim_target_modules:
        short.optim_target_modules = "all-linear"  # module names belong to the real model
    short.use_liger_kernel = short.use_liger_kernel and not is_liger_kernel_available()  # it would patch a class
    if hasattr(short, "pad_token"):
        short.pad_token = None  # belongs to the real tokenizer
    return short


def _trainer(short: Any, model: ModelConfig, data: Any) -> Trainer:
    set_seed(short.seed)
    if data.keep_best is not None:  # answers are not measured here
        short.metric_for_best_model, short.greater_is_better = "eval_loss", False
    tokenizer, small = _tokenizer(), _model(model)
    lora = LoraConfig(r=1, target_modules="all-linear") if model.use_peft else None
    n_rows = short.per_device_train_batch_size * short.gradient_accumulation_steps
    if isinstance(short, DPOConfig):
        pair = {"prompt_ids": _PROMPT, "chosen_ids": _ANSWER, "rejected_ids": [7, 1]}
        pairs = Dataset.from_list([pair] * n_rows)
        reference = None if lora or short.precompute_ref_log_probs else _model(model)
        policy = ModelBundle(small, tokenizer, lora=lora, reference=reference)
        return preference_trainer(policy, short, pairs, _held_out(short, pairs), data)
    row = {"input_ids": _PROMPT + _ANSWER, "labels": [-100] * len(_PROMPT) + _ANSWER}
    rows = Dataset.from_list([row] * n_rows)
    held_out = _held_out(short, rows)
    if isinstance(short, SFTConfig):
        trainer: Trainer = sft_trainer(ModelBundle(small, tokenizer, lora), short, rows, held_out)
    else:
        trainer = PretrainingTrainer(
            muon_learning_rate=data.muon_learning_rate, model=small, args=short, train_dataset=rows,
            eval_dataset=held_out, processing_class=tokenizer,
        )  # fmt: skip
    trainer.add_callback(SampleAnswersCallback(tokenizer, [_PROMPT], held_out, Path(short.output_dir), 1))
    return trainer


def _held_out(short: Any, rows: Dataset) -> Dataset | None:
    return None if short.eval_strategy == IntervalStrategy.NO else rows


def _model(arguments: ModelConfig) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=_N_TOKENS, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, bos_token_id=None, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    return model.to(getattr(torch, arguments.dtype)) if arguments.dtype not in (None, "auto") else model


def _tokenizer() -> PreTrainedTokenizerBase:
    words = {f"w{place}": place for place in range(_N_TOKENS)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w2")),
        pad_token="w0",
        eos_token="w1",
        unk_token="w2",
    )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with (
        attach_quietly(), warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()),
    ):  # fmt: skip
        warnings.simplefilter("ignore")
        yield
