"""Small tokenizers of the kinds that llama.cpp has, and models with random weights for them."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from data_prep.tokenizer_training import TokenizerKind, save_tokenizer, train
from pipelines.modeling import CHATML

TEXTS = [
    "def area(self, width):\n    if width > 0:\n        return width * self.height  # square meters\n",
    "The cat doesn't sleep, it's 12:45 o'clock. Größe und Straße!\n\n\tTabs and  two spaces.",
] * 20
_PIECES = (
    "▁t", "he", "▁th", "▁the", "▁a", "▁s", "re", "▁re", "▁ret", "▁▁", "▁▁▁▁", "in", "▁in", "th", "de", "▁de", "▁def",
    "el", "lf", "▁self",
)  # fmt: skip


def sentencepiece_like(prepends: bool = True, scheme: str | None = None) -> dict[str, Any]:
    """The tokenizer.json of a SentencePiece BPE: each piece has a merge for each of its splits. `scheme` is that of
    Metaspace, which newer files have in place of a normalizer."""
    special = ["<unk>", "<s>", "</s>"]
    characters = sorted(
        {one for piece in _PIECES for one in piece} | set("abcdefghijklmnopqrstuvwxyz(){}.,:0123456789")
    )
    texts = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *_PIECES, *characters]
    merges = [
        [piece[:n], piece[n:]]
        for piece in _PIECES
        for n in range(1, len(piece))
        if piece[:n] in texts and piece[n:] in texts
    ]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    blanks = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    steps = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}] * prepends + [blanks]}
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": False}
    return {
        "version": "1.0",
        "added_tokens": [{"id": n, "content": one, **flags} for n, one in enumerate(special)],
        "normalizer": None if scheme else steps,
        "pre_tokenizer": metaspace if scheme else None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE", "byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>", "merges": merges,
            "vocab": {text: n for n, text in enumerate(texts)},
        },
    }  # fmt: skip


def save_sentencepiece_like(folder: Path, **options: Any) -> Path:
    """Write the tokenizer with a ChatML template, whose tokens it lacks."""
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(sentencepiece_like(**options)))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def save_byte_level(folder: Path) -> Path:
    """Write a tokenizer that this project trains, with a ChatML template."""
    save_tokenizer(train(TEXTS, TokenizerKind.BPE, 400), folder, {})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template, tokenizer.eos_token = CHATML, "<|im_end|>"
    tokenizer.save_pretrained(folder)
    return folder


def save_model(folder: Path) -> PreTrainedTokenizerBase:
    """Write a small Llama with random weights for the tokenizer in `folder`, and return the tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=len(tokenizer), num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.3,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, **sizes,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return tokenizer


def content_of(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The tokenizer.json of a loaded tokenizer."""
    backend: Tokenizer = tokenizer.backend_tokenizer
    return json.loads(backend.to_str())
