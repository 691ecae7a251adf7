"""The sizes of a model, counted on the model without loading its weights."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a causal language model. Widths are numbers of features of one token.

    `n_parameters` counts a tied head once. `matrices` are the (n_in, n_out) of the linear layers of the blocks, which
    LoRA adapts and bitsandbytes quantizes; the output head is none of them. `n_active_in_experts` are the weights of
    the experts that one token goes through.
    """

    n_parameters: int
    vocab_size: int
    n_layers: int
    hidden_width: int
    query_width: int
    intermediate_width: int
    matrices: tuple[tuple[int, int], ...]
    gated: bool
    n_windowed_layers: int
    window: int
    n_active_in_experts: int = 0

    @property
    def n_matrix_parameters(self) -> int:
        """Weights of the blocks' linear layers, biases left out."""
        return sum(n_in * n_out for n_in, n_out in self.matrices)

    @property
    def n_head_parameters(self) -> int:
        """Weights of the output head, tied or not."""
        return self.vocab_size * self.hidden_width

    def n_lora_parameters(self, rank: int) -> int:
        """Weights of LoRA of `rank` on all linear layers of the blocks."""
        return sum(rank * (n_in + n_out) for n_in, n_out in self.matrices)


def model_shape(config: PreTrainedConfig) -> ModelShape:
    """Count a model of `config`, built on the meta device: exact, in well under a second, whatever its size."""
    with torch.device("meta"):
        model = cast(PreTrainedModel, AutoModelForCausalLM.from_config(config))
    text = config.get_text_config()
    head = model.get_output_embeddings()
    matrices = [_in_and_out(module) for module in model.modules() if _is_matrix(module) and module is not head]
    kinds = getattr(text, "layer_types", None) or []
    head_width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    window = getattr(text, "sliding_window", None) or 0
    return ModelShape(
        n_parameters=model.num_parameters(),
        vocab_size=text.vocab_size,
        n_layers=text.num_hidden_layers,
        hidden_width=text.hidden_size,
        query_width=text.num_attention_heads * head_width,
        intermediate_width=max(max(n_in, n_out) for n_in, n_out in matrices)
        if getattr(text, "intermediate_size", None) is None
        else text.intermediate_size,
        matrices=tuple(matrices),
        gated=any(name.endswith("gate_proj") for name, _ in model.named_modules()),
        n_windowed_layers=sum(kind == "sliding_attention" for kind in kinds) if window else 0,
        window=window,
        n_active_in_experts=_n_active_in_experts(model, text),
    )


def _n_active_in_experts(model: PreTrainedModel, text: PreTrainedConfig) -> int:
    """Experts' weights are one parameter of three dimensions for each matrix."""
    n_experts = getattr(text, "num_experts", None) or getattr(text, "num_local_experts", None) or 1
    n_active = getattr(text, "num_experts_per_tok", None) or n_experts
    return sum(weight.numel() for weight in model.parameters() if weight.dim() == 3) * n_active // n_experts


def _is_matrix(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | Conv1D)


def _in_and_out(module: nn.Module) -> tuple[int, int]:
    if isinstance(module, Conv1D):  # GPT-2 keeps its matrices transposed
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    return int(cast(nn.Linear, module).in_features), int(cast(nn.Linear, module).out_features)
