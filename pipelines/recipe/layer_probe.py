"""Measure a layer of a model's width, forward and backward, in the precisions that training could compute in.

Products alone do not tell. Norms, rotation and softmax are slower in bfloat16 on a processor, and in a narrow model
they count for more than products: a layer of width 128 takes 1.3 times as long as in float32 where its products take
half as long.
"""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

_WIDEST = 256  # a wider layer is mostly products, and bfloat16 the quicker the wider it is
_HEAD, _INNER_SHARE = 64, 3.0  # where a config does not say
_ROWS, _LENGTH = 4, 128
_PASSES = 8  # of each way, the first a warm-up


class Way(StrEnum):
    """How a model computes: in float32; in bfloat16 from float32 weights, cast at each use; with frozen weights that
    are bfloat16 already."""

    FLOAT32 = "float32"
    AUTOCAST = "bfloat16 autocast"
    BFLOAT16 = "all-bfloat16"


@dataclass(frozen=True)
class LayerShape:
    """The sizes of one decoder layer, and whether it is trained by LoRA or whole."""

    width: int
    inner_width: int
    n_heads: int
    adapted: bool


def config_of(keys: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of a recipe's base: that of a local folder, and what `model_config` says. Empty if it is not here."""
    path = Path(str(keys.get("model_name_or_path"))) / "config.json"
    saved: Any = {}
    if path.is_file():
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:  # reported where the base is loaded
            saved = {}
    parts = (saved, saved.get("text_config") if isinstance(saved, Mapping) else None, keys.get("model_config"))
    return {key: value for part in parts if isinstance(part, Mapping) for key, value in part.items()}


def layer_shape(config: Mapping[str, Any], *, adapted: bool) -> LayerShape:
    """The shape to measure for a model of `config`: its own width, at most 256, with its proportions."""
    width = _size(config, "hidden_size", "n_embd") or _WIDEST
    n_heads = _size(config, "num_attention_heads", "n_head") or max(1, width // _HEAD)
    head = _size(config, "head_dim") or max(2, width // n_heads)
    inner_share = (_size(config, "intermediate_size") or _INNER_SHARE * width) / width
    narrowed = min(width, _WIDEST)
    n_heads = math.gcd(max(1, narrowed // head), narrowed)  # a layer needs a width that its heads divide
    return LayerShape(narrowed, max(1, int(narrowed * inner_share)), n_heads, adapted)


def _size(config: Mapping[str, Any], *names: str) -> int | None:
    """The first of these keys that is a size; what is not one is reported where the model is built."""
    sizes = (config.get(name) for name in names)
    return next((size for size in sizes if isinstance(size, int) and size > 0), None)


@lru_cache
def times_float32(shape: LayerShape, way: Way) -> float:
    """Processor time of a layer's forward and backward divided by that in float32: the best of several in turns, in one
    thread."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            layers = {one: _layer(shape, one) for one in (Way.FLOAT32, way)}
            turns = [[_pass(layer, shape, one) for one, layer in layers.items()] for _ in range(_PASSES)]
    finally:
        torch.set_num_threads(n_threads)
    in_float32, in_way = map(min, zip(*turns[1:], strict=True))
    return in_way / in_float32


def _layer(shape: LayerShape, way: Way) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaModel

    config = LlamaConfig(
        hidden_size=shape.width,
        intermediate_size=shape.inner_width,
        num_attention_heads=shape.n_heads,
        head_dim=max(2, shape.width // shape.n_heads // 2 * 2),
        num_hidden_layers=1,
        vocab_size=8,
    )
    layer: Any = LlamaModel(config)
    layer.to(torch.bfloat16 if way is Way.BFLOAT16 else torch.float32)
    return get_peft_model(layer, LoraConfig(r=16, target_modules="all-linear")) if shape.adapted else layer


def _pass(layer: Any, shape: LayerShape, way: Way) -> float:
    import torch

    hidden = torch.zeros(_ROWS, _LENGTH, shape.width, requires_grad=True, dtype=layer.dtype)
    began = time.thread_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=way is not Way.FLOAT32):
        out = layer(inputs_embeds=hidden, use_cache=False).last_hidden_state
    out.float().sum().backward()
    return time.thread_time() - began
