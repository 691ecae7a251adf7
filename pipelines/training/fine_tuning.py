"""Supervised fine-tuning: tokenizer, template, base and adapter for TRL's `SFTTrainer`."""

import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from peft.utils.other import TrainableTokensWrapper
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, set_seed
from trl import DPOConfig, ModelConfig, SFTConfig, SFTTrainer

from pipelines.errors import UserError
from pipelines.files import write_json_atomically
from pipelines.hub.model_ref import ModelRef
from pipelines.modeling import end_token, ensure_chat_template, load_tokenizer, lora_config, train_adapters_in_float32
from pipelines.modeling.adapters import attach_trainable_adapter, refuse_sharded_token_rows
from pipelines.modeling.chat_template import end_tokens, token_id_of
from pipelines.modeling.loading import load_base_model, resize_embeddings
from pipelines.modeling.quantization import (
    keep_four_bit_gradients,
    quantization_config,
    refuse_full_training_of_quantized,
)
from pipelines.recipe.launch import sharding
from pipelines.training.callbacks.logging_callback import ThroughputLogging, add_logging
from pipelines.training.data.ledger import Ledger
from pipelines.training.data.packing import refuse_contamination
from pipelines.training.exact_resume import ExactResume
from pipelines.training.held_out_loss import TokenWeightedLoss
from pipelines.training.library_checks import explain_library_errors
from pipelines.training.machine_failures import no_half_model
from pipelines.training.micro_batches import MicroBatches, token_budget
from pipelines.training.saving import CompleteSaving
from pipelines.training.step.finite_steps import FiniteSteps
from pipelines.training.step.lean_step import make_step_lean
from pipelines.training.step.recomputing import recompute_only_if_needed


@dataclass(frozen=True)
class ModelBundle:
    """A model ready for training: embeddings that fit the tokenizer, LoRA configured (`lora`) or attached.

    DPO's reference is a frozen copy of an attached adapter, the base without its new adapter, or `reference`.
    """

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    lora: LoraConfig | None = None
    reference: PreTrainedModel | None = None


def load_training_tokenizer(
    start: ModelRef, training: SFTConfig, *, conversational: bool
) -> tuple[PreTrainedTokenizerBase, list[str]]:
    """Load the tokenizer of `start`, with a chat template and its end token if the rows are `conversational`; return it
    with the tokens whose embeddings the base has not learned. Rows of plain text keep the base's EOS.

    Raises `UserError` if the recipe's `eos_token` is not the token that ends a turn in the template (the model would
    learn one end and be stopped at another), and for a template with tokens that a continued adapter does not have.
    """
    tokenizer = load_tokenizer(*start.tokenizer_source)
    new_tokens: list[str] = []
    if conversational or training.chat_template_path is not None:
        new_tokens = ensure_chat_template(tokenizer, training.chat_template_path)
        end = end_token(tokenizer)
    elif tokenizer.eos_token is None and training.eos_token is None:
        raise UserError(f"{start.path} has no eos_token, which rows of plain text need", "set eos_token in the recipe")
    else:
        end = training.eos_token if training.eos_token in tokenizer.get_vocab() else str(tokenizer.eos_token)
        tokenizer.eos_token = end
    if training.eos_token is not None and training.eos_token != end:
        raise UserError(
            f"eos_token is {training.eos_token}, but the chat template ends a turn with {end}",
            f"set eos_token: {end}, or remove it, or set chat_template_path to a template that ends with "
            f"{training.eos_token}",
            finding="END_TOKEN_MISMATCH",
        )
    if start.adapter is not None and new_tokens:
        raise UserError(
            f"the adapter {start.adapter} was not trained with the template's tokens {', '.join(new_tokens)}",
            "remove chat_template_path, or train a new adapter on a merged model",
        )
    return tokenizer, new_tokens


def load_bundle(
    start: ModelRef,
    arguments: ModelConfig,
    training: SFTConfig | DPOConfig,
    tokenizer: PreTrainedTokenizerBase,
    new_tokens: list[str],
) -> ModelBundle:
    """Load the base of `start`, fit embeddings and end token to `tokenizer`, and configure LoRA or attach the adapter.

    Raises `UserError` for a quantized base without an adapter, and for an adapter that FSDP cannot shard.
    """
    sharded_by = sharding({"fsdp": training.fsdp})
    if start.adapter is None:
        refuse_full_training_of_quantized(arguments)
    set_seed(training.seed)  # the rows of new tokens are drawn
    model, added = load_base_to_train(start, arguments, training, tokenizer)
    if start.adapter is not None:
        adapted = attach_trainable_adapter(model, start.adapter, start.base)
        refuse_sharded_token_rows(cast(LoraConfig, adapted.peft_config["default"]), sharded_by)
        align_end_token(model, tokenizer)
        return ModelBundle(adapted, tokenizer, None)
    new_ids = {*added, *(token_id_of(tokenizer, token) for token in new_tokens)}
    lora = lora_config(arguments, model, sorted(new_ids))
    refuse_sharded_token_rows(lora, sharded_by)
    return ModelBundle(model, tokenizer, lora)


def load_base_to_train(
    start: ModelRef, arguments: ModelConfig, training: SFTConfig | DPOConfig, tokenizer: PreTrainedTokenizerBase
) -> tuple[PreTrainedModel, range]:
    """Load the base in the recipe's dtype or quantization, with the end token and embeddings that `tokenizer` needs;
    return it with the ids of the tokens whose embeddings are new."""
    model = load_base_model(start.base, **loading_options(arguments, training))
    keep_four_bit_gradients(model)
    added = resize_embeddings(model, tokenizer)
    align_end_token(model, tokenizer)
    return model, added


def loading_options(arguments: ModelConfig, training: SFTConfig | DPOConfig) -> dict[str, Any]:
    """Options for loading the base: the recipe's keys, then `model_init_kwargs`, which win.

    Raises `UserError` for a key with different values in both.
    """
    options = {
        "dtype": arguments.dtype or "float32",
        "revision": arguments.model_revision,
        "trust_remote_code": training.trust_remote_code,
        "attn_implementation": arguments.attn_implementation,
        "quantization_config": quantization_config(arguments, training),
    }
    own = cast(dict[str, Any], training.model_init_kwargs or {})
    written = {"dtype": arguments.dtype, "attn_implementation": arguments.attn_implementation}
    for key, value in written.items():
        if value is not None and own.get(key, value) != value:
            raise UserError(
                f"the recipe has {key}: {value}, and model_init_kwargs: {{{key}: {own[key]}}}",
                f"remove one of them: the key {key} is enough",
            )
    return {**options, **own}


class LoggedSFTTrainer(
    FiniteSteps, CompleteSaving, ExactResume, ThroughputLogging, TokenWeightedLoss, MicroBatches, SFTTrainer
):
    """TRL's trainer with micro-batches by length, a held-out loss by tokens, and throughput in its logs."""

    def facts_of_steps(self) -> dict[str, Any]:
        """How steps are computed on this machine, for run.json."""
        names = ("max_tokens_per_micro_batch", "activation_checkpointing")
        return dict(zip(names, (self.max_tokens_per_micro_batch, self.args.activation_checkpointing), strict=True))


def sft_trainer(
    bundle: ModelBundle,
    training: SFTConfig,
    train: Dataset,
    held_out: Dataset | None,
    max_tokens_per_micro_batch: str = "auto",
) -> LoggedSFTTrainer:
    """Build TRL's trainer over tokenized and labeled rows (`input_ids`, `labels`), in micro-batches by length."""
    settled = copy.copy(training)  # template and end token are set in the tokenizer
    settled.chat_template_path = settled.eos_token = settled.model_init_kwargs = settled.completion_only_loss = None
    settled.assistant_only_loss = False  # the labels decide what is trained
    if not training.packing:
        settled.max_length = None  # longer rows are dropped already and in the ledger
    continued = adapter_weights(bundle.model)
    with explain_library_errors("TRL's SFTTrainer rejects the recipe", "change these keys in the recipe"):
        trainer = LoggedSFTTrainer(
            model=bundle.model,
            args=settled,
            train_dataset=train,
            eval_dataset=held_out,
            processing_class=bundle.tokenizer,
            peft_config=bundle.lora,
        )
    show_bias_of_wrapped_head(base_below(bundle.model))
    if isinstance(trainer.model, PeftModel):
        train_adapters_in_float32(trainer.model)
        for name, weight in continued.items():  # TRL made them bfloat16 on a quantized base
            trainer.model.get_parameter(name).data = weight
        if getattr(trainer.model.peft_config["default"], "trainable_token_indices", None):
            leave_embeddings_out(trainer.model)
    refuse_contamination(trainer)
    adapted = cast(PreTrainedModel | PeftModel, trainer.model)
    trainer.max_tokens_per_micro_batch = token_budget(max_tokens_per_micro_batch, training, adapted)
    make_step_lean(trainer)
    if training.max_length is not None and trainer.max_tokens_per_micro_batch:
        recompute_only_if_needed(trainer, max(training.max_length, trainer.max_tokens_per_micro_batch))
    add_logging(trainer)
    return trainer


def save_trained(trainer: Trainer, folder: Path, ledger: Ledger | None = None) -> None:
    """Write adapter or model, tokenizer with template, generation config with the end token, trainer state and ledger.

    Every rank calls it.
    """
    with no_half_model(folder):
        trainer.save_model(str(folder))
        if ledger is not None and trainer.is_world_process_zero():
            write_json_atomically(folder / "ledger.json", ledger.to_json())
        trainer.save_state()


def adapter_weights(model: PreTrainedModel | PeftModel) -> dict[str, torch.Tensor]:
    """Copies of the trained weights of an adapter, none for a model without one."""
    trained = model.named_parameters() if isinstance(model, PeftModel) else ()
    return {name: weight.data.clone() for name, weight in trained if weight.requires_grad}


def base_below(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """The model below an adapter, or the model itself."""
    return cast(PreTrainedModel, model.get_base_model() if isinstance(model, PeftModel) else model)


def leave_embeddings_out(model: PeftModel) -> None:
    """Save only the rows of new tokens. PEFT would add both whole embedding matrices to an adapter on a resized base:
    150 MB for GPT-2, 1 GB for an 8B model, although only the rows that it saves anyway differ from the base.
    """
    model.save_pretrained = partial(model.save_pretrained, save_embedding_layers=False)  # type: ignore[method-assign]


def align_end_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the template's ends of a turn stop generation like the base's own; TRL aligns the pad token."""
    had = model.generation_config.eos_token_id
    of_template = [token_id_of(tokenizer, end) for end in end_tokens(tokenizer)] if tokenizer.chat_template else []
    ends = [tokenizer.eos_token_id, *of_template, *(had if isinstance(had, list) else [had])]
    model.generation_config.eos_token_id = list(dict.fromkeys(end for end in ends if end is not None))
    model.config.get_text_config().eos_token_id = tokenizer.eos_token_id


def show_bias_of_wrapped_head(model: PreTrainedModel) -> None:
    """Give PEFT's wrapper of an output head with trained token rows the attribute `bias`.

    TRL's fused loss reads `weight` and `bias` of the output head; PEFT's wrapper has only the weight (base rows merged
    with the trained rows), so training would end in an AttributeError.
    """
    head = model.get_output_embeddings()
    if isinstance(head, TrainableTokensWrapper) and head.original_module.bias is None:
        head.bias = None  # type: ignore[assignment]
