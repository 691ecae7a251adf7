"""Which weights a run trains: PEFT's own matching on a model without weights."""

import copy
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import cast

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.tuners_utils import check_target_module_exists
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pipelines.modeling.adapters import ALL_LINEAR, lora_config
from pipelines.modeling.chat_template import token_id_of
from pipelines.modeling.loading import attach_quietly
from pipelines.preflight.check_context import CheckContext

_ADAPTED = (nn.Linear, Conv1D, nn.Embedding)  # what PEFT puts LoRA on, of what a language model is made of
_ADAPTER_BYTES = 4  # train_adapters_in_float32


@dataclass(frozen=True)
class LoraPlan:
    """Where PEFT would put a new adapter on `model` (on the meta device). `n_rows` are the rows of the embeddings after
    they are resized to the tokenizer."""

    config: LoraConfig
    model: PreTrainedModel
    n_rows: int

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        """All modules by name."""
        return {name: module for name, module in self.model.named_modules() if name}

    @property
    def head_name(self) -> str | None:
        """The output head's full name."""
        return self._name_of(self.model.get_output_embeddings())

    @property
    def embeddings_name(self) -> str | None:
        """The input embeddings' full name."""
        return self._name_of(self.model.get_input_embeddings())

    @cached_property
    def all_linear(self) -> frozenset[str]:
        """All linear layers but the output head: what `all-linear` means."""
        linear = {name for name, module in self.modules.items() if isinstance(module, nn.Linear | Conv1D)}
        return frozenset(linear - {self.head_name})

    @cached_property
    def named_targets(self) -> list[str]:
        """The entries of `lora_target_modules`; a pattern is one entry, `all-linear` is none."""
        targets = self.config.target_modules
        if targets is None or _is_all_linear(targets):
            return []
        return [targets] if isinstance(targets, str) else list(targets)

    def matched_by(self, target: str) -> list[str]:
        """The modules that one entry of `lora_target_modules` names, by PEFT's own matching."""
        pattern = isinstance(self.config.target_modules, str)
        one = LoraConfig(target_modules=target if pattern else [target], modules_to_save=self.config.modules_to_save)
        return [name for name in self.modules if check_target_module_exists(one, name)]

    @cached_property
    def adapted(self) -> frozenset[str]:
        """The modules that get LoRA."""
        if _is_all_linear(self.config.target_modules):
            return self.all_linear
        found = {name for target in self.named_targets for name in self.matched_by(target)}
        return frozenset(name for name in found if isinstance(self.modules[name], _ADAPTED))

    def parameters_of(self, targets: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters that entries of `lora_target_parameters` name; PEFT matches ends of names."""
        wanted = list(targets)
        return {
            name: tuple(parameter.shape)
            for name, parameter in self.model.named_parameters()
            if any(name == target or name.endswith(f".{target}") for target in wanted)
        }

    def saved_by(self, name: str) -> list[str]:
        """The modules that an entry of `lora_modules_to_save` names; PEFT matches the end of any name."""
        return [module for module in self.modules if module.endswith(name)]

    @property
    def saved_names(self) -> list[str]:
        """The entries of `lora_modules_to_save`."""
        return list(self.config.modules_to_save or [])

    @property
    def saved_tables(self) -> list[str]:
        """Input embeddings and output head, where `lora_modules_to_save` names them."""
        saved = {module for name in self.saved_names for module in self.saved_by(name)}
        return [name for name in (self.embeddings_name, self.head_name) if name in saved]

    @property
    def table_bytes(self) -> int:
        """The embedding table or the output head as an adapter trains and saves it, in float32."""
        return self.n_rows * embedding_width(self.model) * _ADAPTER_BYTES

    @cached_property
    def has_experts(self) -> bool:
        """Whether blocks hold the weights of several experts in one parameter, which PEFT adapts as such."""
        return any(parameter.dim() == 3 for parameter in self.model.parameters())

    @property
    def n_matrix_weights(self) -> int:
        """Weights of the LoRA matrices and of the rows of new tokens."""
        indices = self.config.trainable_token_indices
        n_rows = sum(map(len, indices.values())) if isinstance(indices, dict) else 0
        n_lora = self._n_by_peft() if self.has_experts else None
        return (n_lora or self._n_by_shapes()) + n_rows * embedding_width(self.model)

    def _n_by_shapes(self) -> int:
        """Weights of the LoRA matrices, each of the recipe's rank."""
        rank = self.config.r
        n_lora = sum(rank * sum(cast(nn.Linear, self.modules[name]).weight.shape) for name in self.adapted)
        for shape in self.parameters_of(self.config.target_parameters or []).values():
            n_lora += prod(shape[:-2]) * rank * sum(shape[-2:])
        return n_lora

    @property
    def n_trained(self) -> int:
        """All trained weights, with whole modules; a tied table counts once."""
        saved = {module for name in self.saved_names for module in self.saved_by(name)}
        if self.is_tied and saved & {self.embeddings_name, self.head_name}:
            saved = saved - {self.head_name} | {self.embeddings_name or ""}
        tables = {self.embeddings_name, self.head_name}
        n_tables = len(saved & tables) * self.table_bytes // _ADAPTER_BYTES
        n_others = sum(p.numel() for name in saved - tables for p in self.modules[name].parameters())
        return self.n_matrix_weights + n_tables + n_others

    @property
    def is_tied(self) -> bool:
        """Whether the output head is the embedding table."""
        return bool(self.model.config.get_text_config().tie_word_embeddings)

    def _n_by_peft(self) -> int | None:
        """The weights of the adapter that PEFT makes (on experts with its own ranks), None if it raises."""
        try:
            with torch.device("meta"), attach_quietly(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                matrices = replace(self.config, modules_to_save=None, trainable_token_indices=None)
                adapted = get_peft_model(copy.deepcopy(self.model), matrices)
        except ValueError:
            return None
        return sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)

    def _name_of(self, module: nn.Module | None) -> str | None:
        return next((name for name, other in self.modules.items() if other is module), None)


def lora_plan(context: CheckContext) -> LoraPlan | None:
    """The new adapter of a run; None for full fine-tuning, and if an adapter is trained further."""
    if context.base.adapter is not None or not context.model.use_peft:
        return None
    n_rows = n_rows_after_resizing(context)
    behind = range(context.base.n_embedding_rows, n_rows)
    new_ids = {*behind, *(token_id_of(context.tokenizer, token) for token in context.new_tokens)}
    config = cast(LoraConfig, lora_config(context.model, context.base.skeleton, sorted(new_ids)))
    return LoraPlan(config, context.base.skeleton, n_rows)


def embeddings_name(model: PreTrainedModel) -> str | None:
    """The input embeddings' full name."""
    embeddings = model.get_input_embeddings()
    return next((name for name, other in model.named_modules() if other is embeddings), None)


def embedding_width(model: PreTrainedModel) -> int:
    """Features of one row of the embeddings."""
    return int(cast(nn.Embedding, model.get_input_embeddings()).weight.shape[1])


def n_rows_after_resizing(context: CheckContext) -> int:
    """Rows of the embeddings in the run: they grow where the tokenizer has more tokens, and never shrink."""
    return max(context.base.n_embedding_rows, len(context.tokenizer))


def n_parameters(context: CheckContext) -> int:
    """Weights of the whole model once its embeddings are resized."""
    n_new_rows = n_rows_after_resizing(context) - context.base.n_embedding_rows
    n_tables = 1 if context.base.is_tied else 2
    return context.base.skeleton.num_parameters() + n_new_rows * embedding_width(context.base.skeleton) * n_tables


def dtype_of_weights(context: CheckContext) -> str:
    """The dtype of weights that are not quantized: the recipe's, else float32; `auto` is the base's own."""
    if context.model.dtype != "auto":
        return context.model.dtype or "float32"
    return re.sub(r"^torch\.", "", str(getattr(context.base.config, "dtype", None) or "float32"))


def _is_all_linear(targets: object) -> bool:
    return isinstance(targets, str) and targets.lower() == ALL_LINEAR
