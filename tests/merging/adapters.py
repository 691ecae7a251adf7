"""Adapters that matter: real PEFT adapters on tiny bases, with random, large matrices, saved as training saves them.

An adapter that was not trained merges trivially, since its B matrices are zeros.
"""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from pipelines.merging import reload_check
from pipelines.modeling import ensure_chat_template, load_tokenizer
from pipelines.modeling.chat_template import token_id_of
from pipelines.modeling.loading import attach_quietly, load_base_model, resize_embeddings


def save_adapter(
    base: Path, folder: Path, *, trained_rows_of: tuple[str, ...] = (), seed: int = 1, options: Any = None, **lora: Any
) -> Path:
    """Write an adapter of `base` to `folder` with the tokenizer it was made for: a base without a chat template gets
    ChatML, and new tokens with it. `trained_rows_of` names the embeddings whose rows of these are trained."""
    tokenizer = load_tokenizer(str(base))
    new = ensure_chat_template(tokenizer)
    if trained_rows_of:
        lora["trainable_token_indices"] = dict.fromkeys(
            trained_rows_of, sorted(token_id_of(tokenizer, one) for one in new)
        )
    model: Any = load_base_model(str(base), dtype=torch.float32, **(options or {}))
    torch.manual_seed(0)
    resize_embeddings(model, tokenizer)
    lora = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **lora}
    with attach_quietly():
        adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **lora))
    _move(adapted, seed)
    adapted.save_pretrained(str(folder))
    tokenizer.save_pretrained(folder)
    return folder


def _move(model: Any, seed: int) -> None:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += torch.randn_like(parameter) * (0.3 * parameter.abs().mean() + 0.1)


def read_here(_: Path, request: dict[str, Any]) -> None:
    """The reader of a proof in this process: the tests of the programs start a fresh one."""
    reload_check.reload_and_record(request)
