"""Faults of the chat template: what it loses, writes twice or never had trained."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from trl.chat_template_utils import llama3_training_chat_template

from tests.planted_faults.pair import Pair
from tests.planted_faults.sample_rows import rows_in


def change_rows(base: Path, tokens: Sequence[str], change: Callable[[torch.Tensor, list[int]], None]) -> None:
    """Apply `change` to the embeddings and to the head of `base`, and to the ids of `tokens`."""
    added = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    ids = {token["content"]: token["id"] for token in added}
    weights = load_file(base / "model.safetensors")
    for name, weight in weights.items():
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            change(weight, [ids[token] for token in tokens])
    save_file(weights, base / "model.safetensors", {"format": "pt"})


def _as_the_mean(weight: torch.Tensor, ids: list[int]) -> None:
    weight[ids] = weight.mean(0)


def _all_equal(weight: torch.Tensor, ids: list[int]) -> None:
    weight[ids] = weight[ids[0]].clone()


def marks_of_the_mean_row() -> Pair:
    """What resizing the embeddings gives, in a base that nobody trained with them."""
    return Pair(
        rows_in("english"), change_base=lambda base: change_rows(base, ("<|im_start|>", "<|im_end|>"), _as_the_mean)
    )


def reserved_rows_that_are_equal() -> Pair:
    def change(base: Path) -> None:
        (base / "chat_template.jinja").write_text(llama3_training_chat_template, encoding="utf-8")
        change_rows(base, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), _all_equal)

    return Pair(rows_in("english"), change_base=change)
