"""Seconds of training from the FLOPs of a token, at a stated share of the device's peak."""

from pipelines.modeling.step_memory.model_shape import ModelShape
from pipelines.modeling.step_memory.training_load import Method, TrainingLoad

H200_PEAK_FLOPS = 989e12  # dense bfloat16, NVIDIA H100 SXM and H200 SXM data sheets
ASSUMED_MFU = 0.3  # published figures of LoRA on an H100 with tuned kernels are about 0.4; the plain stack is below
# QLoRA dequantizes the base in each forward and backward. torchtune reports 0.78 (RTX 4090) to 0.98 (A100) of LoRA's
# tokens per second.
_QUANTIZED_SPEED = {Method.QLORA: 0.8, Method.LORA_8BIT: 0.5}


def flops_per_token(shape: ModelShape, load: TrainingLoad) -> float:
    """FLOPs of forward and backward for one token, what is recomputed for checkpointing not counted.

    6N for full training (Kaplan et al. 2020, https://arxiv.org/abs/2001.08361, section 2.1), 4N + 6A for LoRA, whose
    frozen weights get no gradient; N without embedding tables, the head counted; attention 12 L H T (Chowdhery et al.
    2022, https://arxiv.org/abs/2204.02311, appendix B), a sliding window counting for its T. A reference model adds a
    forward.
    """
    n_applied = shape.n_matrix_parameters + shape.n_active_in_experts + shape.n_head_parameters
    length = load.sequence_length
    n_full_layers = shape.n_layers - shape.n_windowed_layers
    attended = n_full_layers * length + shape.n_windowed_layers * min(length, shape.window)
    attention = 12.0 * shape.query_width * attended
    if load.method is Method.FULL:
        matrices = 6.0 * n_applied
    else:
        matrices = 4.0 * n_applied + 6.0 * shape.n_lora_parameters(load.lora_rank)
    reference = 2.0 * n_applied + attention / 3 if load.reference else 0.0
    return matrices + attention + reference


def seconds_per_million_tokens(shape: ModelShape, load: TrainingLoad, *, mfu: float = ASSUMED_MFU) -> float:
    """Seconds for a million tokens at `mfu` of an H200's peak; a quantized base is taken to be slower than LoRA."""
    speed = H200_PEAK_FLOPS * mfu * _QUANTIZED_SPEED.get(load.method, 1.0)
    return 1e6 * flops_per_token(shape, load) / speed
