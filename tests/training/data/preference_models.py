"""Small models for preference tests: a base without a chat template, and an adapter on it as fine-tuning leaves one."""

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, ModelConfig

from pipelines.modeling import ensure_chat_template, lora_config
from pipelines.modeling.chat_template import token_id_of
from pipelines.modeling.loading import resize_embeddings
from pipelines.recipe.arguments import TruncationPolicy
from pipelines.training.data.preference_pairs import tokenize_pairs

PAIRS = [
    {"instruction": f"Add {n}", "input": "", "chosen": f"x = x + {n}", "rejected": f"I do not want to add {n}"}
    for n in range(24)
]


def base_without_template(tiny: Path, folder: Path, *, tied: bool = True) -> Path:
    """The tiny model, its embeddings tied or not, whose tokenizer has neither template nor marks for one."""
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(tiny)
    if not tied:
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone() + 0.01)
    model.save_pretrained(folder)
    return folder


def adapter_on(base: Path, folder: Path, **options: Any) -> Path:
    """LoRA with trained rows for the template's tokens, every trainable number moved, saved with its tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    new_tokens = ensure_chat_template(tokenizer)
    model = AutoModelForCausalLM.from_pretrained(base)
    resize_embeddings(model, tokenizer)
    arguments = ModelConfig(model_name_or_path=str(base), use_peft=True, lora_r=4, lora_dropout=0.0, **options)
    config = lora_config(arguments, model, [token_id_of(tokenizer, token) for token in new_tokens])
    assert isinstance(config, LoraConfig)
    torch.manual_seed(1)
    adapted = get_peft_model(model, config)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    adapted.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def training_arguments(folder: Path, **changes: Any) -> DPOConfig:
    """A few steps on the CPU, quiet."""
    settings: dict[str, Any] = {
        "use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True, "max_steps": 3, "logging_steps": 1,
        "learning_rate": 1e-2, "per_device_train_batch_size": 8, "save_strategy": "no", "eval_strategy": "no",
        "activation_checkpointing": False, "beta": 0.5,
    }  # fmt: skip
    return DPOConfig(output_dir=str(folder), **{**settings, **changes})


def tokenized(tokenizer: Any) -> Dataset:
    """`PAIRS` as token ids."""
    return tokenize_pairs(Dataset.from_list(PAIRS), tokenizer, None, TruncationPolicy.DROP)[0]
