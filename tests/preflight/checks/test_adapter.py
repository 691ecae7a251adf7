"""The checks of the adapter, and what PEFT and TRL really do with the recipes that they speak of."""

import json
from collections.abc import Iterable
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
from tests.preflight.contexts import base_of, context_of, rows_of
from tests.twins.models import real_config


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bases")


def untied(bases: Path) -> Path:
    """The tiny Qwen with a head of its own."""
    folder = base_of("qwen", bases / "untied")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    return folder


def found(context: CheckContext) -> list[Finding]:
    return [finding for check in adapter.CHECKS for finding in check(context)]


def ids(findings: Iterable[Finding]) -> list[str]:
    return [finding.id for finding in findings]


def qwen(bases: Path, folder: Path, **keys: Any) -> CheckContext:
    return context_of(folder, base_of("qwen", bases / "qwen"), rows_of(4), **keys)


def test_the_plan_adapts_the_modules_that_peft_adapts(bases: Path, tmp_path: Path) -> None:
    for family, targets in (("gpt2", "all-linear"), ("qwen", ["q_proj", "down_proj"]), ("qwen", r".*\.(k|v)_proj")):
        base = base_of(family, bases / family)
        plan = lora_plan(context_of(tmp_path / family, base, rows_of(2), lora_target_modules=targets))
        assert plan is not None
        model = AutoModelForCausalLM.from_pretrained(base)
        peft = get_peft_model(model, replace(plan.config, trainable_token_indices=None))
        assert plan.adapted == set(peft.base_model.targeted_module_names)
        n_lora = sum(weight.numel() for name, weight in peft.named_parameters() if "lora_" in name)
        n_rows = sum(map(len, (plan.config.trainable_token_indices or {}).values()))
        assert plan.n_matrix_weights == n_lora + n_rows * 64


def test_a_target_that_names_no_module_is_an_error(bases: Path, tmp_path: Path) -> None:
    [finding] = found(qwen(bases, tmp_path, lora_target_modules=["q_proj", "k_proj", "foo_proj"]))
    assert (finding.id, finding.severity) == ("LORA_TARGETS_MATCH_NOTHING", Severity.ERROR)
    assert "1 of 3 names in lora_target_modules get no adapter: foo_proj" in finding.summary
    assert finding.fix == {"lora_target_modules": "all-linear"}


def test_qwens_names_on_gpt2_match_nothing_at_all(bases: Path, tmp_path: Path) -> None:
    context = context_of(
        tmp_path, base_of("gpt2", bases / "gpt2"), rows_of(4), lora_target_modules=["q_proj", "v_proj"]
    )
    [finding] = found(context)
    assert (finding.id, finding.severity) == ("LORA_TARGETS_MATCH_NOTHING", Severity.ERROR)
    assert "c_attn" in finding.evidence[-1].text


def test_names_of_other_architectures_beside_all_of_this_ones_are_only_noted(bases: Path, tmp_path: Path) -> None:
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "c_attn"]
    [finding] = found(qwen(bases, tmp_path, lora_target_modules=names))
    assert (finding.id, finding.severity) == ("LORA_TARGETS_MATCH_NOTHING", Severity.NOTE)


def test_a_module_that_is_no_linear_layer_cannot_be_a_target(bases: Path, tmp_path: Path) -> None:
    [finding] = found(qwen(bases, tmp_path, lora_target_modules=["self_attn", "down_proj"]))
    assert finding.id == "LORA_TARGETS_MATCH_NOTHING"
    assert "self_attn: model.layers.0.self_attn is a Qwen2Attention" in finding.evidence[0].text


def test_the_output_head_as_a_target_is_an_error_where_trl_computes_the_loss(bases: Path, tmp_path: Path) -> None:
    context = qwen(bases, tmp_path, lora_target_modules=["lm_head", "q_proj", "k_proj"])
    assert "LORA_TARGETS_MATCH_NOTHING" in ids(found(context))
    assert "LORA_TARGETS_MATCH_NOTHING" not in ids(found(replace(context, stage=Stage.PRETRAIN)))


def test_modules_to_save_and_parameters_that_are_not_there_are_an_error(bases: Path, tmp_path: Path) -> None:
    [finding] = found(qwen(bases, tmp_path, lora_modules_to_save=["scorer", "norm"], lora_target_parameters=["router"]))
    assert (finding.id, finding.severity) == ("LORA_TARGETS_MATCH_NOTHING", Severity.ERROR)
    assert finding.fix == {"lora_modules_to_save": ["norm"], "lora_target_parameters": None}


def test_lora_on_query_and_value_alone_is_a_warning(bases: Path, tmp_path: Path) -> None:
    [finding] = found(qwen(bases, tmp_path, lora_target_modules=["q_proj", "v_proj"]))
    assert (finding.id, finding.severity) == ("LORA_ON_Q_AND_V_ONLY", Severity.WARNING)
    assert "4 of the 14 linear layers" in finding.summary
    assert found(qwen(bases, tmp_path / "more", lora_target_modules=["q_proj", "v_proj", "o_proj"])) == []


def test_a_tied_table_that_is_saved_whole_is_a_warning_with_its_size(bases: Path, tmp_path: Path) -> None:
    [finding] = found(qwen(bases, tmp_path, lora_modules_to_save=["lm_head"]))
    assert (finding.id, finding.severity) == ("TIED_HEAD_SAVED", Severity.WARNING)
    assert "all 308 rows" in finding.summary
    assert "stores it at least twice" in finding.summary


def test_a_tied_table_of_a_name_that_peft_does_not_know_comes_apart_and_is_an_error(
    bases: Path, tmp_path: Path
) -> None:
    context = context_of(tmp_path, base_of("gpt2", bases / "gpt2"), rows_of(4), lora_modules_to_save=["wte"])
    [finding] = found(context)
    assert (finding.id, finding.severity) == ("TIED_HEAD_SAVED", Severity.ERROR)
    assert finding.fix == {"lora_modules_to_save": None}
    assert "transformer.wte apart from lm_head" in finding.summary


@pytest.mark.parametrize(("family", "name", "stays_tied"), [("qwen", "lm_head", True), ("gpt2", "wte", False)])
def test_peft_keeps_a_tied_table_one_only_under_the_names_that_it_knows(
    bases: Path, family: str, name: str, stays_tied: bool
) -> None:
    """The measurement behind both severities of TIED_HEAD_SAVED: one step of training, then merged."""
    model = AutoModelForCausalLM.from_pretrained(base_of(family, bases / family))
    arguments = ModelConfig(use_peft=True, lora_r=2, lora_modules_to_save=[name])
    peft = get_peft_model(model, lora_config(arguments, model, []))
    trained = [weight for weight in peft.parameters() if weight.requires_grad]
    tokens = torch.tensor([[5, 6, 7, 8]])
    peft(input_ids=tokens, labels=tokens).loss.backward()
    torch.optim.AdamW(trained, lr=0.1).step()
    merged = peft.merge_and_unload()
    assert torch.equal(merged.get_input_embeddings().weight, merged.get_output_embeddings().weight) is stays_tied


def test_lora_on_the_embeddings_of_a_tied_base_is_a_warning(bases: Path, tmp_path: Path) -> None:
    [finding] = found(qwen(bases, tmp_path, lora_target_modules=["embed_tokens", "q_proj", "k_proj"]))
    assert (finding.id, finding.severity) == ("TIED_HEAD_SAVED", Severity.WARNING)
    assert "merged" in finding.why


def test_a_merged_model_answers_otherwise_than_lora_on_tied_embeddings(bases: Path) -> None:
    """The measurement behind the warning."""
    model = AutoModelForCausalLM.from_pretrained(base_of("qwen", bases / "qwen"))
    config = LoraConfig(r=2, target_modules=["embed_tokens"], task_type="CAUSAL_LM", init_lora_weights=False)
    peft = get_peft_model(model, config).eval()
    tokens = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        before = peft(input_ids=tokens).logits
        after = peft.merge_and_unload()(input_ids=tokens).logits
    assert (before - after).abs().max() > 0.01


def test_lora_on_embeddings_beside_rows_of_new_tokens_is_an_error(bases: Path, tmp_path: Path) -> None:
    base = base_of("gpt2", bases / "gpt2")
    [finding] = found(context_of(tmp_path, base, rows_of(4), lora_target_modules=["wte", "c_attn"]))
    assert (finding.id, finding.severity) == ("TIED_HEAD_SAVED", Severity.ERROR)
    assert finding.fix == {"lora_target_modules": "all-linear"}


def test_small_tables_of_an_untied_base_are_noted(bases: Path, tmp_path: Path) -> None:
    context = context_of(tmp_path, untied(bases), rows_of(4), lora_modules_to_save=["embed_tokens", "lm_head"])
    [finding] = found(context)
    assert (finding.id, finding.severity) == ("EMBEDDINGS_SAVED_WHOLE", Severity.NOTE)


def test_tables_that_make_an_adapter_of_gigabytes_are_a_warning(bases: Path, tmp_path: Path) -> None:
    context = qwen(bases, tmp_path, lora_modules_to_save=["embed_tokens", "lm_head"])
    large = replace(context, base=replace(context.base, config=real_config("llama-3.1-8b")))
    [finding] = found(large)
    assert (finding.id, finding.severity) == ("EMBEDDINGS_SAVED_WHOLE", Severity.WARNING)
    assert "4,203 MB" in finding.summary


def test_a_4_bit_base_in_float32_is_a_warning_with_what_it_costs(bases: Path, tmp_path: Path) -> None:
    for number, dtype in enumerate(("float32", None)):
        [finding] = found(qwen(bases, tmp_path / str(number), load_in_4bit=True, dtype=dtype, bf16=True))
        assert (finding.id, finding.severity) == ("FOUR_BIT_DTYPE", Severity.WARNING)
        assert finding.fix == {"dtype": "bfloat16"}
    assert "no dtype, which means float32" in finding.summary
    assert found(qwen(bases, tmp_path / "clean", load_in_4bit=True, dtype="bfloat16", bf16=True)) == []
    assert found(qwen(bases, tmp_path / "float32", load_in_4bit=True, dtype="float32", bf16=False)) == []


@pytest.mark.parametrize("key", ["load_in_4bit", "load_in_8bit"])
def test_a_quantized_base_without_an_adapter_is_an_error(bases: Path, tmp_path: Path, key: str) -> None:
    [finding] = found(qwen(bases, tmp_path, use_peft=False, **{key: True}))
    assert (finding.id, finding.severity) == ("FOUR_BIT_DTYPE", Severity.ERROR)
    assert finding.fix == {"use_peft": True}


def test_full_fine_tuning_is_no_matter_of_adapters(bases: Path, tmp_path: Path) -> None:
    assert found(qwen(bases, tmp_path, use_peft=False)) == []


def test_lora_keys_without_use_peft_are_an_error_and_their_fix_is_sure(bases: Path, tmp_path: Path) -> None:
    base = base_of("qwen", bases / "qwen")
    [finding] = found(context_of(tmp_path, base, rows_of(4), use_peft=None, lora_r=8))
    assert finding.id == "LORA_KEYS_UNUSED"
    assert finding.fix == {"use_peft": True}
    assert "lora_r" in finding.summary
    assert found(context_of(tmp_path, base, rows_of(4), use_peft=False, lora_r=8)) == [], "said aloud: full fine-tuning"
