"""Causal language model training on a corpus: the texts, the model and the trainer."""

import json
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase, Trainer

from data_prep.dataset_folder import is_dataset_folder, read_dataset_folder
from pipelines.errors import UserError
from pipelines.files import read_text
from pipelines.modeling.loading import load_base_model
from pipelines.recipe import PretrainingArguments
from pipelines.training.muon import muon_with_adamw

_SUPPORTED_DTYPES = ("float32", "bfloat16", "float16")


def corpus_texts(arguments: PretrainingArguments) -> tuple[list[str], list[str]]:
    """Training and validation texts of a corpus folder, or of one text file whose end is held out."""
    if arguments.dataset_name is None:
        raise UserError(expected="dataset_name in the recipe", got="none", remedy="name a corpus folder or a text file")
    path = Path(arguments.dataset_name)
    if is_dataset_folder(path):
        return list(read_dataset_folder(path, "train")["text"]), list(read_dataset_folder(path, "validation")["text"])
    text = read_text(path)
    cut = round(len(text) * (1 - arguments.text_validation_share))
    if not text[:cut] or not text[cut:]:
        raise UserError(
            expected=f"text to train on and to hold out in {path}",
            got=f"{len(text)} characters",
            remedy="name a longer file",
        )
    return [text[:cut]], [text[cut:]]


def model_to_pretrain(arguments: PretrainingArguments, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The checkpoint to continue from, or a new model of `model_type` with the recipe's `model_config`."""
    if arguments.save_dtype not in _SUPPORTED_DTYPES:
        raise UserError(
            expected=f"save_dtype to be one of {', '.join(_SUPPORTED_DTYPES)}",
            got=arguments.save_dtype,
            remedy="change it",
        )
    if arguments.model_name_or_path is not None:
        return load_base_model(arguments.model_name_or_path, dtype="float32", revision=arguments.model_revision)
    return AutoModelForCausalLM.from_config(_new_config(arguments, tokenizer))


def _new_config(arguments: PretrainingArguments, tokenizer: PreTrainedTokenizerBase) -> Any:
    keys = arguments.model_config
    if arguments.model_type is None or keys is None:
        raise UserError(
            expected="model_name_or_path to continue from, or model_type and model_config to start from scratch",
            got="neither",
            remedy="set them in the recipe",
        )
    keys = json.loads(keys) if isinstance(keys, str) else dict(keys)
    defaults = AutoConfig.for_model(arguments.model_type)
    unknown = [key for key in keys if not hasattr(defaults, key)]
    if unknown:
        raise UserError(
            expected=f"keys of {type(defaults).__name__} in model_config",
            got=", ".join(unknown),
            remedy="mend or remove them",
        )
    if keys.get("max_position_embeddings", arguments.max_length) < arguments.max_length:
        raise UserError(
            expected="max_length within the model's max_position_embeddings",
            got=f"{arguments.max_length} against {keys['max_position_embeddings']}",
            remedy="raise max_position_embeddings in model_config or lower max_length",
        )
    return AutoConfig.for_model(
        arguments.model_type,
        **keys,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


class PretrainingTrainer(Trainer):
    """transformers' `Trainer` with Muon for the matrices where the recipe sets `muon_learning_rate`."""

    def __init__(self, *, muon_learning_rate: float | None = None, **options: Any) -> None:
        self.muon_learning_rate = muon_learning_rate
        super().__init__(**options)

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW as transformers builds it, or Muon with AdamW."""
        if self.muon_learning_rate is None or self.optimizer is not None:
            return super().create_optimizer(model) if model is not None else super().create_optimizer()
        betas = (self.args.adam_beta1, self.args.adam_beta2)
        self.optimizer = muon_with_adamw(
            cast(PreTrainedModel, self.model),
            muon_lr=self.muon_learning_rate,
            adamw_options={
                "lr": self.args.learning_rate,
                "betas": betas,
                "eps": self.args.adam_epsilon,
                "weight_decay": self.args.weight_decay,
            },
        )
        return self.optimizer


def save_pretrained(trainer: Trainer, dtype: str) -> None:
    """Write model (cast to `dtype`, by its name in torch), tokenizer and trainer state into the run folder."""
    cast(PreTrainedModel, trainer.model).to(getattr(torch, dtype))
    trainer.save_model()
    trainer.save_state()
