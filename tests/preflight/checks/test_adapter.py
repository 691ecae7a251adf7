"""The checks of the adapter, and what PEFT and TRL do with the recipes that they warn about."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from trl import ModelConfig

from pipelines.modeling import lora_config
from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks import adapter
from pipelines.preflight.trained_weights import lora_plan
from pipelines.records.finding import Finding, Severity
from tests.preflight.contexts import Bases, context_of, rows_of
from tests.twins.models import real_config

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ALL_LINEAR = {"lora_target_modules": "all-linear"}
MATCH, TIED = "LORA_TARGETS_MATCH_NOTHING", "TIED_HEAD_SAVED"
Make = Callable[..., CheckContext]


def found(context: CheckContext) -> list[Finding]:
    return [finding for check in adapter.CHECKS for finding in check(context)]


@pytest.fixture
def make(bases: Bases, tmp_path: Path) -> Make:
    """The context of a recipe with these keys."""
    return lambda family="qwen", **keys: context_of(tmp_path, bases[family], rows_of(4), **keys)


# family, keys, finding, severity, what it says, its fix
FAULTS: list[tuple[str, dict[str, Any], str, Severity, str, dict[str, Any] | None]] = [
    ("qwen", {"lora_target_modules": ["q_proj", "k_proj", "foo_proj"]}, MATCH, ERROR,
     "1 of 3 names in lora_target_modules get no adapter: foo_proj", ALL_LINEAR),
    ("gpt2", {"lora_target_modules": ["q_proj", "v_proj"]}, MATCH, ERROR, "c_attn", ALL_LINEAR),
    ("qwen", {"lora_target_modules": [*ALL, "c_attn"]}, MATCH, NOTE, "c_attn", None),
    ("qwen", {"lora_target_modules": ["self_attn", "down_proj"]}, MATCH, ERROR,
     "self_attn: model.layers.0.self_attn is a Qwen2Attention", None),
    ("qwen", {"lora_modules_to_save": ["scorer", "norm"], "lora_target_parameters": ["router"]}, MATCH, ERROR, "scorer",
     {"lora_modules_to_save": ["norm"], "lora_target_parameters": None}),
    ("qwen", {"lora_target_modules": ["q_proj", "v_proj"]}, "LORA_ON_Q_AND_V_ONLY", WARNING,
     "4 of the 14 linear layers", {}),
    ("qwen", {"lora_modules_to_save": ["lm_head"]}, TIED, WARNING, "all 308 rows", {}),
    ("qwen", {"lora_modules_to_save": ["lm_head"]}, TIED, WARNING, "saves it at least twice", {}),
    ("gpt2", {"lora_modules_to_save": ["wte"]}, TIED, ERROR, "transformer.wte apart from lm_head",
     {"lora_modules_to_save": None}),
    ("qwen", {"lora_target_modules": ["embed_tokens", "q_proj", "k_proj"]}, TIED, WARNING, "a merged model", {}),
    ("gpt2", {"lora_target_modules": ["wte", "c_attn"]}, TIED, ERROR, "already trained", ALL_LINEAR),
    ("qwen", {"load_in_4bit": True, "dtype": "float32", "bf16": True}, "FOUR_BIT_DTYPE", WARNING, "dtype: float32",
     {"dtype": "bfloat16"}),
    ("qwen", {"load_in_4bit": True, "dtype": None, "bf16": True}, "FOUR_BIT_DTYPE", WARNING,
     "no dtype, which means float32", {"dtype": "bfloat16"}),
    ("qwen", {"use_peft": False, "load_in_4bit": True}, "FOUR_BIT_DTYPE", ERROR, "4-bit", {"use_peft": True}),
    ("qwen", {"use_peft": False, "load_in_8bit": True}, "FOUR_BIT_DTYPE", ERROR, "8-bit", {"use_peft": True}),
    ("qwen", {"use_peft": None, "lora_r": 8}, "LORA_KEYS_UNUSED", ERROR, "lora_r", {"use_peft": True}),
]  # fmt: skip


@pytest.mark.parametrize(("family", "keys", "name", "severity", "text", "fix"), FAULTS)
def test_a_fault_of_the_adapter_is_found(make, family, keys, name, severity, text, fix):
    [finding] = found(make(family, **keys))
    assert (finding.id, finding.severity) == (name, severity)
    assert text in " ".join([finding.summary, finding.why, *(one.text for one in finding.evidence)])
    assert fix is None or finding.fix == fix


@pytest.mark.parametrize(
    ("family", "keys"),
    [
        ("gpt2", {}), ("qwen", {}), ("llama3", {}), ("qwen", {"use_peft": False}),
        ("qwen", {"lora_target_modules": ["q_proj", "v_proj", "o_proj"]}),
        ("qwen", {"load_in_4bit": True, "dtype": "bfloat16", "bf16": True}),
        ("qwen", {"load_in_4bit": True, "dtype": "float32", "bf16": False}),
        ("qwen", {"use_peft": False, "lora_r": 8}),  # written on purpose: full fine-tuning
    ],
)  # fmt: skip
def test_a_clean_recipe_gives_no_finding(make, family, keys):
    assert found(make(family, **keys)) == []


def test_the_output_head_as_a_target_is_an_error_where_trl_computes_the_loss(make):
    context = make(lora_target_modules=["lm_head", "q_proj", "k_proj"])
    assert MATCH in [one.id for one in found(context)]
    assert MATCH not in [one.id for one in found(replace(context, stage=Stage.PRETRAIN))]


def test_whole_tables_of_an_untied_base_are_a_note_and_in_gigabytes_a_warning(make, bases, tmp_path):
    untied = Path(shutil.copytree(bases["qwen"], tmp_path / "untied"))
    config = json.loads((untied / "config.json").read_text())
    (untied / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    keys = {"lora_modules_to_save": ["embed_tokens", "lm_head"]}
    [finding] = found(context_of(tmp_path, untied, rows_of(4), **keys))
    assert (finding.id, finding.severity) == ("EMBEDDINGS_SAVED_WHOLE", NOTE)
    context = make(**keys)
    [finding] = found(replace(context, base=replace(context.base, config=real_config("llama-3.1-8b"))))
    assert (finding.id, finding.severity) == ("EMBEDDINGS_SAVED_WHOLE", WARNING)
    assert "4,203 MB" in finding.summary


@pytest.mark.parametrize(
    ("family", "targets"), [("gpt2", "all-linear"), ("qwen", ["q_proj", "down_proj"]), ("qwen", r".*\.(k|v)_proj")]
)
def test_the_plan_adapts_the_modules_that_peft_adapts(make, bases, family, targets):
    plan = lora_plan(make(family, lora_target_modules=targets))
    assert plan is not None
    model = AutoModelForCausalLM.from_pretrained(bases[family])
    peft = get_peft_model(model, replace(plan.config, trainable_token_indices=None))
    assert plan.adapted == set(peft.base_model.targeted_module_names)
    n_lora = sum(weight.numel() for name, weight in peft.named_parameters() if "lora_" in name)
    n_rows = sum(map(len, (plan.config.trainable_token_indices or {}).values()))
    assert plan.n_matrix_weights == n_lora + n_rows * 64


@pytest.mark.parametrize(("family", "name", "stays_tied"), [("qwen", "lm_head", True), ("gpt2", "wte", False)])
def test_peft_keeps_a_tied_table_tied_only_under_the_names_that_it_knows(bases, family, name, stays_tied):
    """The measurement behind both severities of TIED_HEAD_SAVED: one step of training, then merged."""
    model = AutoModelForCausalLM.from_pretrained(bases[family])
    arguments = ModelConfig(use_peft=True, lora_r=2, lora_modules_to_save=[name])
    peft = get_peft_model(model, lora_config(arguments, model, []))
    trained = [weight for weight in peft.parameters() if weight.requires_grad]
    tokens = torch.tensor([[5, 6, 7, 8]])
    peft(input_ids=tokens, labels=tokens).loss.backward()
    torch.optim.AdamW(trained, lr=0.1).step()
    merged = peft.merge_and_unload()
    assert torch.equal(merged.get_input_embeddings().weight, merged.get_output_embeddings().weight) is stays_tied


def test_a_merged_model_differs_from_lora_on_tied_embeddings(bases):
    """The measurement behind the warning."""
    model = AutoModelForCausalLM.from_pretrained(bases["qwen"])
    config = LoraConfig(r=2, target_modules=["embed_tokens"], task_type="CAUSAL_LM", init_lora_weights=False)
    peft = get_peft_model(model, config).eval()
    tokens = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        before = peft(input_ids=tokens).logits
        after = peft.merge_and_unload()(input_ids=tokens).logits
    assert (before - after).abs().max() > 0.01
