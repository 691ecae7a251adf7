"""A tiny random model of a recipe's architecture, with a tokenizer of its family, saved as a Hub folder would be."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from pipelines.modeling import CHATML

ARCHITECTURES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "architectures.json").read_text())

# What a tiny model keeps of the real one is its kind: model_type, tying, rotation, window, positions. Sizes are these.
# Multiples of 64, which bitsandbytes' 4-bit kernels for the CPU need.
_TINY = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "head_dim": 16}
_TINY_GPT2 = {"n_layer": 2, "n_embd": 64, "n_head": 4}
_N_KEPT_MERGES = 1000  # of a real tokenizer: its rules and special tokens whole, its vocabulary small
_TEXT = ["def find_max(numbers):\n    return max(numbers)\n", "Write a function that adds two numbers."] * 8

# The special tokens that each family's base brings: (bos, eos, further ones); and whether its tokenizer puts BOS first.
_SPECIAL_TOKENS = {
    "gpt2": ("<|endoftext|>", "<|endoftext|>", [], False),
    "qwen": (None, "<|endoftext|>", ["<|im_start|>", "<|im_end|>"], False),
    "smollm2": ("<|endoftext|>", "<|endoftext|>", ["<|im_start|>", "<|im_end|>"], False),
    "smollm3": (None, "<|end_of_text|>", ["<|begin_of_text|>", "<|im_start|>", "<|im_end|>"], False),
    "llama": (
        "<|begin_of_text|>", "<|end_of_text|>", ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], True,
    ),
    "mistral": ("<s>", "</s>", ["<unk>", "[INST]", "[/INST]"], True),
    "gemma": ("<bos>", "<eos>", ["<pad>", "<start_of_turn>", "<end_of_turn>"], True),
}  # fmt: skip
_REAL_TOKENIZERS = {"gpt2": "gpt2-hf", "qwen": "qwen2.5"}


def model_of(hub_id: str) -> str:
    """The recipe folder of a Hub id. Raises `KeyError` with the id where architectures.json does not know it."""
    found = {facts["hub_id"]: model for model, facts in ARCHITECTURES.items()}
    return found[hub_id]


def family_of(model: str) -> str:
    """Whose special tokens the model folder's tokenizer has."""
    return next(family for family in _SPECIAL_TOKENS if model.startswith(family))


def real_config(model: str) -> Any:
    """The config of the real model."""
    return _config(ARCHITECTURES[model]["config"])


def save_twin(model: str, folder: Path, shared_tokenizers: Path) -> Path:
    """Write the twin of `model` into `folder`: config, random weights, tokenizer."""
    facts = ARCHITECTURES[model]["config"]
    family = family_of(model)
    real = shared_tokenizers / _REAL_TOKENIZERS.get(family, "none")
    tokenizer = _real_tokenizer(real, family) if real.is_dir() else _tiny_tokenizer(family)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(_config(_tiny_facts(facts, tokenizer))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_twin_tokenizer(family: str, folder: Path) -> Path:
    """Write a tiny tokenizer of `family` alone, for training from scratch."""
    _tiny_tokenizer(family).save_pretrained(folder)
    return folder


def _config(facts: dict[str, Any]) -> Any:
    return AutoConfig.for_model(**facts)


def _tiny_facts(facts: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    sizes = _TINY_GPT2 if "n_embd" in facts else _TINY
    tiny = {**facts, **sizes, "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    tiny["vocab_size"] = len(tokenizer) + (8 if facts["model_type"] == "qwen2" else 0)  # Qwen has rows to spare
    tiny["pad_token_id"] = tokenizer.pad_token_id
    if "num_key_value_heads" in facts:
        several = facts["num_key_value_heads"] > 1
        grouped = facts["num_key_value_heads"] < facts["num_attention_heads"]
        tiny["num_key_value_heads"] = (2 if several else 1) if grouped else 4
    if facts["model_type"] == "smollm3":
        tiny["no_rope_layer_interval"] = 2  # so that one of the two layers has no rotation
    if facts["model_type"] == "gemma3_text":
        tiny |= {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16, "head_dim": 32}
    return tiny


def _real_tokenizer(folder: Path, family: str) -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    facts = json.loads(tokenizer.backend_tokenizer.to_str())
    merges = facts["model"]["merges"][:_N_KEPT_MERGES]
    pieces = sorted(facts["model"]["vocab"], key=facts["model"]["vocab"].get)[: 256 + len(merges)]
    facts["model"] |= {"vocab": {piece: n for n, piece in enumerate(pieces)}, "merges": merges}
    facts["added_tokens"] = [token | {"id": len(pieces) + n} for n, token in enumerate(facts["added_tokens"])]
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(facts))
    tokenizer.eos_token = _SPECIAL_TOKENS[family][1]  # the shared Qwen tokenizer is the instruct model's
    return tokenizer


def _tiny_tokenizer(family: str) -> PreTrainedTokenizerBase:
    bos, eos, further, puts_bos = _SPECIAL_TOKENS[family]
    special = list(dict.fromkeys(token for token in (bos, eos, *further) if token))
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        _TEXT,
        trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    if bos and puts_bos:
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, special.index(bos))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=bos,
        eos_token=eos,
        pad_token="<pad>" if "<pad>" in special else None,
        extra_special_tokens=[token for token in further if token != "<pad>"],
        clean_up_tokenization_spaces=False,
    )
    if family == "qwen":
        tokenizer.chat_template = CHATML
    return tokenizer
