"""Faults of the adapter, the base, and the machine that is to train."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.planted_faults.families import Family, change_json
from tests.planted_faults.faults.fault import ERROR, WARNING, PlantedFault
from tests.planted_faults.faults.template import PLAIN_CHATML
from tests.planted_faults.pair import Pair
from tests.planted_faults.sample_rows import rows_in
from tests.twins.models import ARCHITECTURES

_FULL = {"use_peft": None, "lora_r": None, "lora_alpha": None, "lora_dropout": None, "lora_target_modules": None}


def targets_of_another_architecture() -> Pair:
    """GPT-2's layers are called c_attn and c_proj."""
    return Pair(rows_in("english"), keys={"lora_target_modules": ["q_proj", "v_proj"]})


def adapter_on_q_and_v() -> Pair:
    return Pair(rows_in("english"), keys={"lora_target_modules": ["q_proj", "v_proj"]})


def tied_head_saved() -> Pair:
    return Pair(rows_in("english"), keys={"lora_modules_to_save": ["lm_head"]})


def four_bits_in_float16() -> Pair:
    return Pair(rows_in("english"), keys={"load_in_4bit": True, "dtype": "float16"})


def _as_instruct_model(base: Path) -> None:
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


def base_that_is_instruct() -> Pair:
    return Pair(rows_in("english"), change_base=_as_instruct_model, base_name="Qwen2.5-0.5B-Instruct")


def chatml_on_llama3() -> Pair:
    return Pair(rows_in("english"), template="{{- bos_token -}}" + PLAIN_CHATML)


def all_weights_in_float16() -> Pair:
    return Pair(rows_in("english"), keys={**_FULL, "learning_rate": 2e-5, "dtype": "float16"})


def all_weights_in_bfloat16() -> Pair:
    return Pair(rows_in("english"), keys={**_FULL, "learning_rate": 1e-5, "dtype": "bfloat16", "bf16": True})


def push_without_token() -> Pair:
    return Pair(rows_in("english"), keys={"push_to_hub": True, "hub_model_id": "somebody/instruct"})


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
    return Pair(rows_in("english"), keys=keys, change_base=_with_size_of("qwen2.5-0.5b", vocab_size=151936))


def model_of_another_league() -> Pair:
    """Llama-3.1-405B in 16 bits, with LoRA."""
    sizes = {"hidden_size": 16384, "intermediate_size": 53248, "num_hidden_layers": 126, "num_attention_heads": 128}
    return Pair(
        rows_in("english"),
        keys={"dtype": "bfloat16", "bf16": True, "use_cpu": True},
        change_base=_with_size_of("llama-3.1-8b", vocab_size=128256, head_dim=128, num_key_value_heads=8, **sizes),
    )


FAULTS = (
    PlantedFault(
        "LORA_TARGETS_MATCH_NOTHING", "q_proj and v_proj on GPT-2, which has c_attn", Family.GPT2, ERROR,
        targets_of_another_architecture,
        trl_says=r"(?i)target.modules",
    ),
    PlantedFault(
        "LORA_ON_Q_AND_V_ONLY", "LoRA on q_proj and v_proj alone", Family.LLAMA3, WARNING, adapter_on_q_and_v,
        trl_says=r"(?i)q_proj",
    ),
    PlantedFault(
        "TIED_HEAD_SAVED", "lora_modules_to_save: [lm_head] with tied embeddings", Family.CHATML, WARNING,
        tied_head_saved,
        trl_says=r"(?i)\btie|tied",
    ),
    PlantedFault(
        "FOUR_BIT_DTYPE", "QLoRA that computes in float16", Family.LLAMA3, WARNING, four_bits_in_float16,
        trl_says=r"(?i)compute_dtype|float16|float32",
    ),
    PlantedFault(
        "BASE_IS_INSTRUCT", "Qwen2.5-0.5B-Instruct in the place of the base", Family.CHATML, WARNING,
        base_that_is_instruct,
        trl_says=r"(?i)instruct(ion)?.*(model|already)",
    ),
    PlantedFault(
        "TEMPLATE_NOT_OF_BASE", "ChatML on a base with Llama 3's marks", Family.LLAMA3, WARNING, chatml_on_llama3,
        trl_says=r"(?i)template.*(base|vocab|token)",
    ),
    PlantedFault(
        "DTYPE_AGAINST_HARDWARE", "full fine-tuning of float16 weights", Family.GPT2, ERROR, all_weights_in_float16,
        trl_says=r"(?i)float16|fp16|nan",
    ),
    PlantedFault(
        "DTYPE_AGAINST_HARDWARE", "full fine-tuning of bfloat16 weights in steps too small for them", Family.CHATML,
        WARNING, all_weights_in_bfloat16,
        trl_says=r"(?i)bfloat16|bf16",
    ),
    PlantedFault(
        "HUB_TOKEN_MISSING", "push_to_hub: true without a token", Family.OWN, ERROR, push_without_token,
        trl_says=r"(?i)token|log ?in|401|offline",
    ),
    PlantedFault(
        "DISK_TOO_SMALL", "200,000 checkpoints that are all kept", Family.CHATML, ERROR, checkpoints_without_end,
        also={"MEMORY_TOO_SMALL": "on machines of less than 10 GB"},
        trl_cannot="the base has no weights, and only a full disk would show it",
    ),
    PlantedFault(
        "MEMORY_TOO_SMALL", "a model of 405 billion weights", Family.LLAMA3, WARNING, model_of_another_league,
        trl_cannot="the base has no weights: 810 GB of them would have to be there",
    ),
)  # fmt: skip
