"""Direct preference optimization: the policy, its frozen reference and TRL's `DPOTrainer` brought together."""

import copy
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed
from trl import DPOConfig, DPOTrainer, ModelConfig

from pipelines.hub.model_ref import ModelRef
from pipelines.modeling import (
    ensure_chat_template,
    load_tokenizer,
    lora_config,
    render_prompt,
    train_adapters_in_float32,
)
from pipelines.modeling.adapters import attach_trainable_adapter
from pipelines.modeling.chat_template import token_id_of
from pipelines.modeling.quantization import refuse_full_training_of_quantized
from pipelines.recipe.arguments import RunArguments
from pipelines.training.callbacks.logging_callback import ThroughputLogging, add_logging
from pipelines.training.callbacks.samples import N_HELD_OUT, SampleAnswersCallback
from pipelines.training.data.preference_pairs import chosen_rows
from pipelines.training.fine_tuning import (
    adapter_weights,
    align_end_token,
    base_below,
    leave_embeddings_out,
    load_base_to_train,
    show_bias_of_wrapped_head,
)
from pipelines.training.library_errors import explain_library_errors

_POLICY, _REFERENCE = "default", "ref"  # TRL's names for the adapter in training and its frozen copy


@dataclass(frozen=True)
class Policy:
    """A model ready to be taught preferences.

    The reference is a frozen copy of the adapter (`model` is a `PeftModel`), the base with the adapter disabled (`lora`
    is given), or the model `reference`.
    """

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    lora: LoraConfig | None = None
    reference: PreTrainedModel | None = None


def load_policy_tokenizer(start: ModelRef) -> tuple[PreTrainedTokenizerBase, list[str]]:
    """The tokenizer with a chat template, and the tokens whose embeddings the base cannot know.

    It is the adapter's where that holds one, since the chat template was trained with the adapter.
    """
    tokenizer = load_tokenizer(*start.tokenizer_source)
    return tokenizer, ensure_chat_template(tokenizer)


def load_policy(
    start: ModelRef,
    arguments: ModelConfig,
    training: DPOConfig,
    tokenizer: PreTrainedTokenizerBase,
    new_tokens: list[str],
) -> Policy:
    """Load base, adapter and, for full fine-tuning, a second copy as the reference; embeddings fit `tokenizer`."""
    if start.adapter is None:
        refuse_full_training_of_quantized(arguments)
    set_seed(training.seed)  # rows of new tokens are drawn, and a resumed run needs the same reference
    model, added = load_base_to_train(start, arguments, training, tokenizer)
    if start.adapter is not None:
        policy = attach_trainable_adapter(model, start.adapter, start.base)
        align_end_token(model, tokenizer)
        return Policy(policy, tokenizer)
    new_ids = {*added, *(token_id_of(tokenizer, token) for token in new_tokens)}
    lora = lora_config(arguments, model, sorted(new_ids))
    if lora is not None:
        return Policy(model, tokenizer, lora=lora)
    if training.precompute_ref_log_probs:
        return Policy(model, tokenizer)
    reference, _ = load_base_to_train(start, arguments, training, tokenizer)
    reference.load_state_dict(model.state_dict())  # rows of new tokens are drawn at random for each
    return Policy(model, tokenizer, reference=reference)


class PreferenceTrainer(ThroughputLogging, DPOTrainer):
    """TRL's trainer over pairs that are tokenized already, with a reference that is what the policy was at the start.

    `model` is the policy as `load_policy` gives it.
    """

    def __init__(self, model: PreTrainedModel | PeftModel, **options: Any) -> None:
        self._policy = model
        self._adapter = adapter_weights(model)
        super().__init__(model=model, **options)

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        """Leave the tokens as they are. TRL calls this when the adapters stand and nothing is computed yet."""
        show_bias_of_wrapped_head(base_below(self._policy))
        if isinstance(self._policy, PeftModel):
            for name, weight in self._adapter.items():  # TRL made them bfloat16 on a quantized base
                self._policy.get_parameter(name).data = weight
            complete_reference(self._policy)
        return dataset

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Save one adapter; the reference is the adapter that the run began with, which lies in its own folder."""
        super()._save(output_dir, state_dict)
        if isinstance(self._policy, PeftModel) and self.args.should_save:
            shutil.rmtree(Path(output_dir or str(self.args.output_dir)) / _REFERENCE, ignore_errors=True)


def complete_reference(policy: PeftModel) -> None:
    """Make TRL's reference adapter the copy of the policy's that it should be, in every parameter and its dtype.

    TRL copies the parameters with `.default.` in their names. PEFT's rows of new tokens and its LoRA on embeddings have
    names that end with `.default` and would be left at their initial values: a reference that never saw the end token.
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
    policy: Policy, training: DPOConfig, train: Dataset, held_out: Dataset | None, shown: RunArguments
) -> DPOTrainer:
    """The trainer over pairs of `tokenize_pairs`; `shown` says what is answered at each evaluation.

    Raises `UserError` for options that TRL does not take together.
    """
    settled = copy.copy(training)
    settled.model_init_kwargs = None  # the model is loaded
    settled.max_length = None  # TRL's collator would cut without a word; the ledger has the long rows
    with explain_library_errors("TRL's DPOTrainer refuses the recipe", "change these keys in the recipe"):
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
    if isinstance(trainer.model, PeftModel) and getattr(
        trainer.model.peft_config[_POLICY], "trainable_token_indices", None
    ):
        leave_embeddings_out(trainer.model)
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
