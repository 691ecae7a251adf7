"""FLOPs of training, counted from the shapes of a model's matrices, and the peak FLOP/s of known devices."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper
from torch import nn
from transformers.pytorch_utils import Conv1D

_EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts")

# Dense bfloat16 tensor-core FLOP/s with float32 accumulation, without sparsity, by a word of the device's name. Where
# the vendor prints only the figure with 2:4 sparsity, this is half of it. The first match counts.
_PEAKS = (
    ("B200", 2250e12),  # NVIDIA HGX B200 data sheet
    ("H200 NVL", 835e12),  # NVIDIA H200 data sheet
    ("H200", 989e12),  # NVIDIA H200 data sheet, SXM
    ("GH200", 989e12),  # NVIDIA GH200 data sheet
    ("H100 NVL", 835e12),  # NVIDIA H100 data sheet
    ("H100 PCIe", 756e12),  # NVIDIA H100 data sheet
    ("H100", 989e12),  # NVIDIA H100 data sheet, SXM
    ("A100", 312e12),  # NVIDIA A100 data sheet
    ("RTX A6000", 154.8e12),  # NVIDIA RTX A6000 data sheet
    ("A10G", 70e12),  # NVIDIA A10G data sheet; the A10 of the same name is another card
    ("A10", 125e12),  # NVIDIA A10 data sheet
    ("L40S", 362e12),  # NVIDIA L40S data sheet
    ("L40", 181e12),  # NVIDIA L40 data sheet
    ("L4", 121e12),  # NVIDIA L4 data sheet
    ("RTX 4090", 165.2e12),  # NVIDIA Ada architecture whitepaper, appendix A
    ("RTX 3090", 71e12),  # NVIDIA GA102 architecture whitepaper, appendix A
    ("T4", 65e12),  # NVIDIA T4 data sheet; float16, it has no bfloat16
)


@dataclass(frozen=True)
class TrainingFlops:
    """FLOPs of forward and backward for one model, by unit.

    `body` per token, `head` per token whose prediction is in the loss, `attention` per pair of tokens of one sequence,
    `attention_in_window` per token and token of its sliding `window`. The `forward_...` fields are the forward's part.
    """

    body: float
    head: float
    attention: float
    attention_in_window: float
    window: int
    forward_body: float
    forward_head: float

    def of(self, *, n_tokens: int, n_loss_tokens: int, n_pairs: int, reference: bool = False) -> float:
        """FLOPs of some training steps; `n_pairs` is the sum of squared sequence lengths.

        `reference` adds the forward of a reference model of the same size over the same tokens, as in DPO.
        """
        mean_length = n_pairs / max(n_tokens, 1)
        in_window = self.attention_in_window * n_tokens * min(mean_length, self.window)
        attention = self.attention * n_pairs + in_window
        total = self.body * n_tokens + self.head * n_loss_tokens + attention
        if reference:  # a third of the attention is its forward
            total += self.forward_body * n_tokens + self.forward_head * n_loss_tokens + attention / 3
        return total


def training_flops(model: nn.Module) -> TrainingFlops | None:
    """FLOPs of training `model` with its current trained weights; None for a mixture of experts.

    Each weight of a matrix costs a token 2 FLOPs forward and 2 for the gradient of its input; a trained weight 2 more
    for its own gradient. So full training is the 6N of Kaplan et al. 2020 (https://arxiv.org/abs/2001.08361, section
    2.1) and LoRA is 4N + 6 N_adapter. N leaves out embedding tables, which are looked up and not multiplied. The output
    head counts, tied or not, but only where a prediction is in the loss: nothing else of it is needed. Attention is
    12 L H T for each token, H = heads x head size, T = length of its sequence, which is the term of Chowdhery et al.
    2022 (PaLM, https://arxiv.org/abs/2204.02311, appendix B): no discount for the causal mask, and the same for LoRA,
    because both factors of its products are activations. Layers with a sliding window count min(T, window).

    What is computed a second time (activation checkpointing) is not counted, nor are norms, softmax, the optimizer and
    dequantization: over the device's peak this gives model FLOPs utilization (MFU), not hardware utilization. Weights
    are counted by a layer's features, so a 4-bit matrix counts like the one that it packs.
    """
    config = model.config.get_text_config()  # type: ignore[union-attr, operator]
    if any((getattr(config, name, None) or 0) > 1 for name in _EXPERT_COUNTS):
        return None
    head = model.get_output_embeddings()  # type: ignore[operator]
    in_head = {id(module) for module in head.modules()} if head is not None else set()
    sums = {True: [0.0, 0.0], False: [0.0, 0.0]}  # of the head or not: forward, all
    for module, size in _applied_matrices(model):
        trained = bool(getattr(getattr(module, "weight", None), "requires_grad", False))
        part = sums[id(module) in in_head]
        part[0] += 2 * size
        part[1] += (6 if trained else 4) * size
    n_full, n_windowed, window = _attention_layers(config)
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    width = config.num_attention_heads * int(head_size)
    return TrainingFlops(
        body=sums[False][1],
        head=sums[True][1],
        attention=12.0 * width * n_full,
        attention_in_window=12.0 * width * n_windowed,
        window=window,
        forward_body=sums[False][0],
        forward_head=sums[True][0],
    )


def peak_flops(device_name: str) -> float | None:
    """Dense bfloat16 FLOP/s of a device by its `torch.cuda.get_device_name`; None if unknown."""
    if "MIG" in device_name or "Laptop" in device_name:  # a slice or a slower card under the same name
        return None
    return next((peak for word, peak in _PEAKS if re.search(rf"\b{word}\b(?! D\b)", device_name)), None)


def _applied_matrices(model: nn.Module) -> Iterator[tuple[nn.Module, int]]:
    """Every matrix that a token is multiplied by, once, and its number of weights.

    PEFT's wrappers have the features of what they wrap and would count it twice.
    """
    aside = {id(inner) for module in model.modules() for outer in _not_applied(module) for inner in outer.modules()}
    for module in model.modules():
        if id(module) not in aside and not isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper):
            if isinstance(module, Conv1D):
                yield module, module.weight.numel()
            elif isinstance(getattr(module, "in_features", None), int) and hasattr(module, "out_features"):
                yield module, int(module.in_features) * int(module.out_features)  # type: ignore[arg-type]


def _not_applied(module: nn.Module) -> Iterator[nn.Module]:
    """Unused modules that PEFT keeps in `module`: inactive adapters, the original of a trained copy."""
    if isinstance(module, ModulesToSaveWrapper):
        yield module.original_module
        yield from (copy for name, copy in module.modules_to_save.items() if name not in module.active_adapters)
    elif isinstance(module, BaseTunerLayer):
        for kind in module.adapter_layer_names:
            adapters = getattr(module, kind, None)
            if isinstance(adapters, nn.ModuleDict):
                yield from (child for name, child in adapters.items() if name not in module.active_adapters)


def _attention_layers(config: Any) -> tuple[int, int, int]:
    """Layers with full attention, layers with a sliding window, and that window in tokens."""
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    window = getattr(config, "sliding_window", None) or 0
    n_windowed = sum(kind in ("sliding_attention", "chunked_attention") for kind in kinds) if window else 0
    n_full = sum(kind == "full_attention" for kind in kinds)
    return n_full, n_windowed, window
