"""GPU memory of a training step, from the sizes of the model and of the batch; needs no GPU."""

from dataclasses import dataclass

from pipelines.modeling.step_memory.model_shape import ModelShape
from pipelines.modeling.step_memory.training_load import Method, TrainingLoad

GIB = 2**30

# NF4 in blocks of 64 with an 8-bit scale each, whose own float32 scale serves 256 blocks (Dettmers et al. 2023, QLoRA,
# https://arxiv.org/abs/2305.14314, section 3): 4 + 8/64 + 32/(64 * 256) bits.
_NF4_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8
_INT8_BYTES = 1.0
_HALF, _SINGLE = 2, 4
_ADAM_MOMENTS = 2

# The tile of logits that TRL's fused head holds, in the type of the arithmetic (trl/kernels/chunked_logprob.py and
# trainer/utils.py).
_TILE_TOKENS, _TILE_VOCABULARY = 4096, 32768
_CUDA_BYTES = 0.7 * GIB  # context, cuBLAS workspaces, kernels
_FRAGMENTED_SHARE = 0.05  # of what is allocated: the allocator's holes


@dataclass(frozen=True)
class MemoryForecast:
    """Bytes at the peak of a step on one device, by what they are for."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    head: float
    overhead: float

    @property
    def allocated(self) -> float:
        """What the framework allocates, which is what published figures mostly report."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.head

    @property
    def total(self) -> float:
        """What the device must have."""
        return self.allocated + self.overhead


def memory_forecast(shape: ModelShape, load: TrainingLoad) -> MemoryForecast:
    """The peak memory of one training step on one device, with AdamW and attention that keeps no score matrix (sdpa).

    N parameters, M of them in the matrices of the blocks, A of LoRA; T tokens, L layers; computed in bfloat16, for
    float32 see `TrainingLoad.compute_bytes`:

    - weights: full N * 4 + (M + head) * 2 for the bfloat16 copies that autocast keeps (N * 2 where the recipe loads
      bfloat16, no copies where float32 is computed); LoRA N * 2 + A * 4; 8 bits M * 1 + (N - M) * 2 + A * 4; QLoRA
      M * 0.516 + (N - M) * 2 + A * 4 (adapters are trained in float32 on any base)
    - gradients: one for each trained weight, in its type; optimizer: two moments for each, in its type
    - activations: T * L * (bytes kept for one token of one layer, `_layer_bytes`); with activation checkpointing the
      inputs of all layers and the insides of one; T * T * 3 for the mask of packed examples (a boolean square
      and its copy in the type of the query)
    - head: a tile of logits (or T * vocabulary * 12 bytes without the fused head) and the gradient of its input; where
      rows of the embeddings are trained, PEFT's merged copy of the head, and its gradient in float32 and bfloat16
    - overhead: 0.7 GiB for CUDA and 5 % of the rest for the allocator's holes

    What it leaves out: the optimizer's scratch, evaluation, checkpoints, several devices.
    """
    weights, trained_bytes = _weights(shape, load)
    forecast = MemoryForecast(
        weights=weights,
        gradients=trained_bytes,
        optimizer=_ADAM_MOMENTS * trained_bytes,
        activations=_activations(shape, load),
        head=_head(shape, load),
        overhead=0.0,
    )
    overhead = _CUDA_BYTES + _FRAGMENTED_SHARE * forecast.allocated
    return MemoryForecast(**{**vars(forecast), "overhead": overhead})


def _weights(shape: ModelShape, load: TrainingLoad) -> tuple[float, float]:
    """Bytes of all weights, and of the trained ones."""
    n_matrix = shape.n_matrix_parameters
    n_other = shape.n_parameters - n_matrix
    if load.method is Method.FULL:
        master = shape.n_parameters * load.weight_bytes
        copies = (n_matrix + shape.n_head_parameters) * _HALF if load.weight_bytes > load.compute_bytes else 0
        return master + copies, master
    matrix_bytes = {Method.QLORA: _NF4_BYTES, Method.LORA_8BIT: _INT8_BYTES}.get(load.method, load.weight_bytes)
    base = n_matrix * matrix_bytes + n_other * load.weight_bytes
    adapter = (load.n_adapter or shape.n_lora_parameters(load.lora_rank)) * _SINGLE
    return base + adapter * (2 if load.reference else 1), adapter


def _activations(shape: ModelShape, load: TrainingLoad) -> float:
    layer = load.n_tokens * _layer_bytes(shape, load)
    mask = load.n_tokens**2 * (1 + load.compute_bytes) if load.packed else 0
    if not load.activation_checkpointing:
        return layer * shape.n_layers + mask
    inputs = load.n_tokens * shape.n_layers * shape.hidden_width * load.weight_bytes
    return inputs + layer + mask


def _layer_bytes(shape: ModelShape, load: TrainingLoad) -> float:
    """Bytes that the backward of one layer needs for one token, as transformers' models compute it without a compiler.

    Counted tensor by tensor: two norms (input in float32, and for trained norms the normed value), the inputs of the
    matrices, query, key, value (repeated to the heads of the query) and output of attention, and the insides of the
    MLP, which are four tensors where it is gated (gate, up, activation, product) and six for GPT-2's GELU written out.
    LoRA keeps a copy of the input for each adapted matrix, and a byte for its dropout.
    """
    hidden, query, inner, width = shape.hidden_width, shape.query_width, shape.intermediate_width, load.compute_bytes
    norms = 2 * hidden * _SINGLE
    attention = (4 + 1) * query * width  # q, k, v, output, and the output as the next matrix takes it
    mlp = (4 if shape.gated else 6) * inner * width
    if load.method is Method.FULL:
        return norms + attention + mlp + 4 * hidden * width  # normed values; inputs of q, k, v and of gate, up
    n_in = sum(n_in for n_in, _ in shape.matrices) / shape.n_layers
    return norms + attention + mlp + n_in * (width + (1 if load.lora_dropout else 0))


def _head(shape: ModelShape, load: TrainingLoad) -> float:
    hidden_gradient = load.n_tokens * shape.hidden_width * _SINGLE
    if load.fused_head:
        logits = min(load.n_tokens, _TILE_TOKENS) * min(shape.vocab_size, _TILE_VOCABULARY) * load.compute_bytes
    else:
        # the logits and their gradient as computed, the log-softmax that is kept and its gradient in float32
        logits = load.n_tokens * shape.vocab_size * 2 * (load.compute_bytes + _SINGLE)
    if load.method is Method.FULL:
        return hidden_gradient + logits + shape.n_head_parameters * load.weight_bytes  # added to what was accumulated
    if load.trains_tokens:
        return hidden_gradient + logits + shape.n_head_parameters * (2 * load.compute_bytes + _SINGLE)
    return hidden_gradient + logits
