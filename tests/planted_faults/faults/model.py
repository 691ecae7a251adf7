"""Faults of the adapter, the base, and the machine that is to train."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.planted_faults.families import change_json
from tests.planted_faults.pair import Pair
from tests.planted_faults.sample_rows import rows_in
from tests.twins.models import ARCHITECTURES

_FULL = {"use_peft": None, "lora_r": None, "lora_alpha": None, "lora_dropout": None, "lora_target_modules": None}


def as_instruct_model(base: Path) -> None:
    """What Qwen2.5's instruct models have and its bases lack."""
    change_json(base / "tokenizer_config.json", lambda facts: facts.update(eos_token="<|im_end|>"))
    vocabulary = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    ids = {token["content"]: token["id"] for token in vocabulary}
    ends = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    change_json(base / "config.json", lambda facts: facts.update(eos_token_id=ends[0]))
    settings = {
        "bos_token_id": ends[1], "pad_token_id": ends[1], "eos_token_id": ends, "do_sample": True,
        "repetition_penalty": 1.1, "temperature": 0.7, "top_p": 0.8, "top_k": 20,
    }  # fmt: skip
    (base / "generation_config.json").write_text(json.dumps(settings))


def instruct_model_without_its_template() -> Pair:
    rows = [{"prompt": f"Q: {row['instruction']}\nA:", "completion": f" {row['output']}"} for row in rows_in("english")]
    return Pair(rows, change_base=as_instruct_model, base_name="Qwen2.5-0.5B-Instruct")


def _with_size_of(model: str, **sizes: int) -> Callable[[Path], None]:
    def change(base: Path) -> None:
        facts = {key: value for key, value in ARCHITECTURES[model]["config"].items() if key != "vocab_size"}
        (base / "model.safetensors").unlink()
        change_json(base / "config.json", lambda config: config.update(facts, layer_types=None, **sizes))

    return change


def checkpoints_without_end() -> Pair:
    """A checkpoint at each of 200,000 steps, none ever removed: about 160 TB."""
    keys = {**_FULL, "learning_rate": 2e-5, "save_strategy": "steps", "save_steps": 1, "max_steps": 200_000,
            "use_cpu": True}  # fmt: skip
    return Pair(rows_in("english"), keys=keys, change_base=_with_size_of("qwen2.5-0.5b"))


def model_of_another_league() -> Pair:
    """Llama-3.1-405B in 16 bits, with LoRA."""
    sizes = {"hidden_size": 16384, "intermediate_size": 53248, "num_hidden_layers": 126, "num_attention_heads": 128}
    return Pair(
        rows_in("english"),
        keys={"dtype": "bfloat16", "bf16": True, "use_cpu": True},
        change_base=_with_size_of("llama-3.1-8b", head_dim=128, num_key_value_heads=8, **sizes),
    )
