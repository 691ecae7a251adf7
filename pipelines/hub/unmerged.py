"""Engines that serve an adapter next to its base, and what each of them does not take, by adapter_config.json.

From the sources of vLLM 0.33 (lora/peft_helper.py), of llama.cpp's convert_lora_to_gguf.py and of mlx-lm 0.32;
transformers 5.23 was run (tests/hub/test_unmerged.py). Every engine takes the merged model.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipelines.files import read_json
from pipelines.files.visible_text import listed

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # of vLLM's --max-lora-rank
# Initial matrices that leave the base as it is; the others move a part of the base into the adapter.
_PLAIN_STARTS = {"gaussian", "eva", "orthogonal", "mica", "lora_ga"}
_EMBEDDINGS = {"embed_tokens", "lm_head", "wte", "embed_in", "embed_out"}


class Engine(StrEnum):
    """An engine that loads adapters."""

    TRANSFORMERS = "transformers"
    VLLM = "vLLM"
    LLAMA_CPP = "llama.cpp"


_BOTH = (Engine.VLLM, Engine.LLAMA_CPP)
_Adapter = Mapping[str, Any]

# What an adapter may have, and the engines that refuse it, drop it or compute it otherwise.
_FEATURES: tuple[tuple[str, Callable[[_Adapter], Any], tuple[Engine, ...]], ...] = (
    ("another method than LoRA", lambda one: one.get("peft_type", "LORA") != "LORA", _BOTH),
    ("DoRA", lambda one: one.get("use_dora"), tuple(Engine)),
    ("trained rows of tokens", lambda one: _trained_rows(one), _BOTH),
    ("rows of new tokens", lambda one: _adds_rows(one), (Engine.TRANSFORMERS,)),
    ("modules_to_save", lambda one: one.get("modules_to_save"), _BOTH),
    ("biases", lambda one: one.get("lora_bias") or one.get("bias", "none") != "none", _BOTH),
    ("an initialization that changes the base", lambda one: _changes_base(one), _BOTH),
    ("layer_replication", lambda one: one.get("layer_replication"), _BOTH),
    ("QALoRA", lambda one: one.get("use_qalora"), _BOTH),
    ("BD-LoRA", lambda one: one.get("use_bdlora"), _BOTH),
    ("target_parameters", lambda one: one.get("target_parameters"), (Engine.LLAMA_CPP,)),
    ("aLoRA", lambda one: one.get("alora_invocation_tokens"), (Engine.VLLM,)),
    ("LoRA on embeddings or head", lambda one: _EMBEDDINGS & set(one.get("target_modules") or ()), _BOTH),
    ("a rank over 512", lambda one: _rank(one) > _RANKS[-1], (Engine.VLLM,)),
    ("rsLoRA", lambda one: one.get("use_rslora"), (Engine.LLAMA_CPP,)),
    ("alpha_pattern", lambda one: one.get("alpha_pattern"), (Engine.LLAMA_CPP,)),
)


def not_taken(adapter: Mapping[str, Any], engine: Engine) -> list[str]:
    """What the adapter with this adapter_config.json has that `engine` does not take; empty if it serves the model."""
    return [name for name, is_in, engines in _FEATURES if engine in engines and is_in(adapter)]


def max_lora_rank(adapter: Mapping[str, Any]) -> int:
    """vLLM's --max-lora-rank for an adapter that it takes; its default is 16."""
    return next(rank for rank in _RANKS if rank >= _rank(adapter))


def serving_sentence(adapter: Mapping[str, Any]) -> str:
    """Which engines serve the adapter unmerged, and why the others do not."""
    refused = {engine: listed(found) for engine in Engine if (found := not_taken(adapter, engine))}
    taken = listed(["PEFT", *(engine for engine in Engine if engine not in refused)])
    reasons = "; ".join(
        f"{listed([engine for engine in refused if refused[engine] == why])} cannot serve {why}"
        for why in dict.fromkeys(refused.values())
    )
    merge = "merge it for the others (mlx-lm, onnxruntime-genai and transformers.js take merged models only)"
    return "; ".join(filter(None, (f"served unmerged by {taken}", reasons, merge)))


def serving_lines(folder: Path) -> list[str]:
    """`serving_sentence` of the adapter in `folder`, nothing for a full model."""
    path = folder / "adapter_config.json"
    return [serving_sentence(read_json(path))] if path.is_file() else []


def _rank(adapter: Mapping[str, Any]) -> int:
    ranks = (adapter.get("r"), *(adapter.get("rank_pattern") or {}).values())
    return max((rank for rank in ranks if isinstance(rank, int)), default=1)


def _trained_rows(adapter: _Adapter) -> list[int]:
    found = adapter.get("trainable_token_indices") or []
    return [row for rows in (found.values() if isinstance(found, dict) else [found]) for row in rows]


def _adds_rows(adapter: _Adapter) -> bool:
    """Whether a row is trained that the base lacks; taken for true where the base is not on this machine."""
    rows, config = _trained_rows(adapter), Path(str(adapter.get("base_model_name_or_path"))) / "config.json"
    if not rows or not config.is_file():
        return bool(rows)
    base = read_json(config)
    n_rows = (base.get("text_config") or base).get("vocab_size")
    return not isinstance(n_rows, int) or max(rows) >= n_rows


def _changes_base(adapter: Mapping[str, Any]) -> bool:
    start = adapter.get("init_lora_weights", True)
    return isinstance(start, str) and start.lower() not in _PLAIN_STARTS
