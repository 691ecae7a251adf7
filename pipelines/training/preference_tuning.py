"""Direct preference optimization: policy, frozen reference, TRL's `DPOTrainer`, and scores of held-out pairs."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer, ModelConfig
from trl.trainer.utils import use_adapter

from pipelines.hub.model_ref import ModelRef
from pipelines.modeling import ensure_chat_template, load_tokenizer, render_prompt, train_adapters_in_float32
from pipelines.recipe.arguments import RunArguments
from pipelines.training.callbacks.logging_callback import ThroughputLogging, add_logging
from pipelines.training.callbacks.samples import N_HELD_OUT, SampleAnswersCallback
from pipelines.training.data.preference_pairs import chosen_rows
from pipelines.training.exact_resume import ExactResume
from pipelines.training.fine_tuning import (
    ModelBundle,
    adapter_weights,
    base_below,
    leave_embeddings_out,
    load_base_to_train,
    load_bundle,
    show_bias_of_wrapped_head,
)
from pipelines.training.library_checks import explain_library_errors
from pipelines.training.saving import CompleteSaving
from pipelines.training.step.finite_steps import FiniteSteps
from pipelines.training.step.lean_step import make_step_lean

SCORE_COLUMNS = ("chosen", "rejected", "reference_chosen", "reference_rejected", "n_chosen", "n_rejected")
_POLICY, _REFERENCE = "default", "ref"  # TRL's names for the adapter in training and its frozen copy


def load_policy_tokenizer(start: ModelRef) -> tuple[PreTrainedTokenizerBase, list[str]]:
    """Load the tokenizer with a chat template; return it with the tokens whose embeddings the base has not learned."""
    tokenizer = load_tokenizer(*start.tokenizer_source)
    return tokenizer, ensure_chat_template(tokenizer)


def load_policy(
    start: ModelRef,
    arguments: ModelConfig,
    training: DPOConfig,
    tokenizer: PreTrainedTokenizerBase,
    new_tokens: list[str],
) -> ModelBundle:
    """Load base, adapter and, for full fine-tuning, a second copy as the reference; embeddings fit `tokenizer`."""
    policy = load_bundle(start, arguments, training, tokenizer, new_tokens)
    if start.adapter is not None or policy.lora is not None or training.precompute_ref_log_probs:
        return policy
    reference, _ = load_base_to_train(start, arguments, training, tokenizer)
    reference.load_state_dict(policy.model.state_dict())  # rows of new tokens are drawn at random for each
    return replace(policy, reference=reference)


class PreferenceTrainer(FiniteSteps, CompleteSaving, ExactResume, ThroughputLogging, DPOTrainer):
    """TRL's trainer over tokenized pairs; the reference is the policy at the start of the run."""

    def __init__(self, model: PreTrainedModel | PeftModel, **options: Any) -> None:
        self._policy = model
        self._adapter = adapter_weights(model)
        super().__init__(model=model, **options)

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        """Keep the tokens. TRL calls this once the adapters are attached, before it computes anything."""
        show_bias_of_wrapped_head(base_below(self._policy))
        if isinstance(self._policy, PeftModel):
            for name, weight in self._adapter.items():  # TRL made them bfloat16 on a quantized base
                self._policy.get_parameter(name).data = weight
            complete_reference(self._policy)
        return dataset

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Save one adapter; the reference is the adapter that the run started from, which has its own folder."""
        super()._save(output_dir, state_dict)
        if isinstance(self._policy, PeftModel) and self.args.should_save:
            shutil.rmtree(Path(output_dir or str(self.args.output_dir)) / _REFERENCE, ignore_errors=True)


def complete_reference(policy: PeftModel) -> None:
    """Copy every parameter of the policy's adapter, with its dtype, to TRL's reference adapter.

    TRL copies the parameters with `.default.` in their names. PEFT's rows of new tokens and its LoRA on embeddings have
    names that end with `.default` and would keep their initial values: the reference would not know the end token.
    """
    if _REFERENCE not in policy.peft_config:
        return
    parameters = dict(policy.named_parameters(remove_duplicate=False))
    for name, parameter in parameters.items():
        parts = name.split(".")
        if _POLICY in parts:
            reference = parameters[".".join(_REFERENCE if part == _POLICY else part for part in parts)]
            reference.data = parameter.data.clone()


def preference_trainer(
    policy: ModelBundle, training: DPOConfig, train: Dataset, held_out: Dataset | None, shown: RunArguments
) -> PreferenceTrainer:
    """Build the trainer over pairs of `tokenize_pairs`; `shown` has the prompts answered at each evaluation.

    Raises `UserError` for options that TRL does not accept together.
    """
    settled = copy.copy(training)
    settled.model_init_kwargs = None  # the model is loaded
    settled.max_length = None  # TRL's collator would truncate silently; the ledger has the long rows
    with explain_library_errors("TRL's DPOTrainer rejects the recipe", "change these keys in the recipe"):
        trainer = PreferenceTrainer(
            policy.model,
            ref_model=policy.reference,
            args=settled,
            train_dataset=train,
            eval_dataset=held_out,
            processing_class=policy.tokenizer,
            peft_config=policy.lora,
        )
    if isinstance(trainer.model, PeftModel):
        train_adapters_in_float32(trainer.model)
        if getattr(trainer.model.peft_config[_POLICY], "trainable_token_indices", None):
            leave_embeddings_out(trainer.model)
    make_step_lean(trainer)
    add_logging(trainer)
    trainer.add_callback(_samples(policy.tokenizer, training, held_out, shown))
    return trainer


def _samples(
    tokenizer: PreTrainedTokenizerBase, training: DPOConfig, held_out: Dataset | None, shown: RunArguments
) -> SampleAnswersCallback:
    """Answers to the recipe's prompts or the first held-out ones, and the end token behind the chosen answers."""
    if shown.sample_prompts is not None:
        prompts = [render_prompt(tokenizer, prompt) for prompt in shown.sample_prompts]
    else:
        prompts = held_out[: shown.n_samples]["prompt_ids"] if held_out is not None else []
    rows = chosen_rows(held_out, N_HELD_OUT) if held_out is not None else None
    return SampleAnswersCallback(tokenizer, prompts, rows, Path(str(training.output_dir)), shown.sample_max_new_tokens)


def score_pairs(trainer: DPOTrainer) -> dict[str, np.ndarray]:
    """Score the evaluation pairs: `SCORE_COLUMNS`, shape [n] each, log-probabilities in nats with the end token, and
    the numbers of tokens summed.

    Every rank must call it and gets all pairs. `ld_alpha` and other variants of the loss have no effect.
    """
    model = trainer.model_wrapped
    was_training = model.training
    model.eval()
    rows = []
    for batch in trainer.get_eval_dataloader():
        batch = trainer._prepare_inputs(batch)
        mask = batch["completion_mask"]
        with torch.no_grad(), trainer.accelerator.autocast():
            own = _summed(model, batch)
            reference = _reference_summed(trainer, model, batch)
        columns = torch.stack([own, reference, mask[:, 1:].sum(dim=1).float()])  # each: all chosen, then all rejected
        pairs = columns.reshape(6, -1).T.contiguous()
        rows.append(trainer.accelerator.gather_for_metrics(pairs).float().cpu().numpy())
    model.train(was_training)
    return dict(zip(SCORE_COLUMNS, np.concatenate(rows).astype(np.float64).T, strict=True))


def _summed(model: torch.nn.Module, batch: dict[str, Any]) -> torch.Tensor:
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    outputs = model(**inputs, labels=labels, use_cache=False, fused_lm_head=True)
    return outputs.log_probs[:, -(labels.size(1) - 1) :].float().sum(dim=1)


def _reference_summed(trainer: DPOTrainer, model: torch.nn.Module, batch: dict[str, Any]) -> torch.Tensor:
    if trainer.ref_model is not None:
        return _summed(trainer.ref_model, batch)
    policy = trainer.accelerator.unwrap_model(trainer.model)
    if not isinstance(policy, PeftModel):  # computed before training and kept in the rows
        return torch.cat([batch["ref_chosen_logps"], batch["ref_rejected_logps"]]).float()
    with use_adapter(policy, "ref" if "ref" in policy.peft_config else None):
        return _summed(model, batch)
