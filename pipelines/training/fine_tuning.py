"""Supervised fine-tuning: tokenizer, template, base and adapter brought together for TRL's `SFTTrainer`."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from datasets import Dataset
from peft import LoraConfig
from peft.utils.other import TrainableTokensWrapper
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import ModelConfig, SFTConfig, SFTTrainer

from pipelines.errors import UserError
from pipelines.modeling import end_token, ensure_chat_template, load_tokenizer, lora_config
from pipelines.modeling.chat_template import token_id_of
from pipelines.modeling.loading import load_base_model, resize_embeddings
from pipelines.modeling.quantization import quantization_config


@dataclass(frozen=True)
class Student:
    """A base ready to be taught: tokenizer with chat template, embeddings that fit it, LoRA configured."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    lora: LoraConfig | None


def load_student(arguments: ModelConfig, training: SFTConfig) -> Student:
    """Load the base of `arguments` and align its end token with the chat template.

    Raises `UserError` if the recipe's `eos_token` is another token than the one that the template ends a turn with: the
    model would learn one end and be stopped at another.
    """
    if arguments.model_name_or_path is None:
        raise UserError(expected="model_name_or_path in the recipe", got="none", remedy="name a folder or a Hub id")
    tokenizer = load_tokenizer(arguments.model_name_or_path, arguments.model_revision)
    new_tokens = ensure_chat_template(tokenizer, training.chat_template_path)
    if training.eos_token is not None and training.eos_token != end_token(tokenizer):
        raise UserError(
            expected=f"eos_token to be {end_token(tokenizer)}, which ends a turn in the chat template",
            got=training.eos_token,
            remedy="remove eos_token from the recipe, or set chat_template_path to a template that ends with it",
        )
    model = load_base_model(
        arguments.model_name_or_path,
        dtype=arguments.dtype or "float32",
        revision=arguments.model_revision,
        trust_remote_code=training.trust_remote_code,
        attn_implementation=arguments.attn_implementation,
        quantization_config=quantization_config(arguments),
        **cast(dict[str, Any], training.model_init_kwargs or {}),
    )
    resize_embeddings(model, tokenizer)
    _align_end_token(model, tokenizer)
    new_ids = [token_id_of(tokenizer, token) for token in new_tokens]
    return Student(model, tokenizer, lora_config(arguments, model, new_ids))


def sft_trainer(student: Student, training: SFTConfig, train: Dataset, held_out: Dataset | None) -> SFTTrainer:
    """TRL's trainer over rows that are tokenized and labelled already (`input_ids`, `labels`)."""
    settled = copy.copy(training)  # the template and the end token are in the tokenizer by now, TRL need not set them
    settled.chat_template_path = settled.eos_token = settled.model_init_kwargs = None
    if not training.packing:
        settled.max_length = None  # longer rows are in the ledger as dropped, TRL has nothing left to cut
    trainer = SFTTrainer(
        model=student.model,
        args=settled,
        train_dataset=train,
        eval_dataset=held_out,
        processing_class=student.tokenizer,
        peft_config=student.lora,
    )
    _show_bias_of_wrapped_head(student.model)
    return trainer


def save_student(trainer: SFTTrainer, folder: Path) -> None:
    """Write adapter or model, tokenizer with template, generation config with the end token, and trainer state."""
    trainer.save_model(str(folder))
    if trainer.is_world_process_zero():
        cast(PreTrainedModel, trainer.model).generation_config.save_pretrained(folder)  # PEFT leaves it out
    trainer.save_state()


def _align_end_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the end of turn stop generation, beside the ends that the base had; TRL aligns the pad token."""
    had = model.generation_config.eos_token_id
    ends = [tokenizer.eos_token_id, *(had if isinstance(had, list) else [had])]
    model.generation_config.eos_token_id = list(dict.fromkeys(end for end in ends if end is not None))
    model.config.get_text_config().eos_token_id = tokenizer.eos_token_id


def _show_bias_of_wrapped_head(model: PreTrainedModel) -> None:
    """Give a head whose new tokens' rows are trained the attribute `bias`.

    TRL's fused loss reads `weight` and `bias` off the output head; PEFT's wrapper shows the weight (base rows and
    trained rows merged, so gradients reach the trained ones) but not the bias, and training would end in an
    AttributeError.
    """
    head = model.get_output_embeddings()
    if isinstance(head, TrainableTokensWrapper) and head.original_module.bias is None:
        head.bias = None  # type: ignore[assignment]
