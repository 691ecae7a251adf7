"""A 4-bit base that is trained on on a CPU: keeping its gradients."""

from transformers import PreTrainedModel

_PACKS = "support_avx512bf16_for_cpu"  # bitsandbytes asks this of each of its 4-bit layers


def keep_four_bit_gradients(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from packing the 4-bit layers of `model` for fast inference on a CPU.

    At the first forward in evaluation mode, on a processor with AVX512-BF16, it rewrites the weights for a kernel that
    has no backward. They stay so: after one evaluation the layers below get no gradient, and training goes on without
    a word (bitsandbytes 0.50, `Linear4bit.forward` and `matmul_4bit`).
    """
    for module in model.modules():
        if hasattr(module, _PACKS):
            setattr(module, _PACKS, False)
