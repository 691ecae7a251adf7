"""The norms are those of the products written out, whatever the adapter, and what did not change is named."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import LoraLayer, ParamWrapper
from transformers import MixtralConfig, MixtralForCausalLM

from pipelines.postflight.adapter_change import adapter_change, product_norm, saved_adapter_change
from pipelines.postflight.adapter_places import adapter_start
from pipelines.records.finding import Severity
from tests.postflight.runs import FULL, dpo, dpo_recipe, examined, ids_of, sft, sft_recipe


def deltas(model: Any, adapter: str = "default") -> dict[str, torch.Tensor]:
    """What PEFT would add to each weight, written out."""
    return {
        name.removeprefix("base_model.model."): module.get_delta_weight(adapter).detach().double()
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer) and not isinstance(module, ParamWrapper)
    }


def test_the_norm_of_a_product_is_that_of_the_product_written_out():
    torch.manual_seed(0)
    left, right = torch.randn(3, 50, 4, dtype=torch.float64), torch.randn(3, 4, 70, dtype=torch.float64)
    assert product_norm(left, right) == pytest.approx(float((left @ right).norm()))
    assert product_norm(torch.zeros(50, 4), right[0].float()) == 0.0


@pytest.mark.parametrize(
    "options",
    [
        {}, {"use_rslora": True}, {"use_dora": True}, {"lora_target_modules": ["q_proj", "embed_tokens"]},
        {"load_in_4bit": True}, {"load_in_4bit": True, "use_dora": True},
    ],
    ids=["lora", "rslora", "dora", "embeddings", "qlora", "qdora"],
)  # fmt: skip
def test_the_norm_of_each_module_is_that_of_what_peft_adds(qwen_base, tmp_path, options):
    trainer = sft(sft_recipe(tmp_path, qwen_base, **options))
    _, found = examined(trainer)
    facts = found.parts["change"].facts
    added = deltas(trainer.model)
    assert facts["modules"].keys() == added.keys()
    for name, delta in added.items():
        assert facts["modules"][name]["norm"] == pytest.approx(float(delta.norm()), rel=1e-5)
    assert facts["norm"] == pytest.approx(float(torch.stack([d.norm() for d in added.values()]).norm()), rel=1e-5)
    assert (facts["n_unmoved"], facts["is_new"]) == (0, True)
    assert facts["smallest"]["norm"] == min(one["norm"] for one in facts["modules"].values())
    assert (facts["relative"] is None) == bool(options.get("load_in_4bit"))
    assert ("magnitude_change" in facts["largest"]) == bool(options.get("use_dora"))
    assert "ADAPTER_DID_NOT_MOVE" not in ids_of(found)


def test_the_share_is_of_the_bases_own_weights(gpt2_base, tmp_path):
    trainer = sft(sft_recipe(tmp_path, gpt2_base))
    _, found = examined(trainer)
    name = "transformer.h.0.attn.c_attn"  # GPT-2's weights are the other way round
    weight = trainer.model.get_submodule(f"base_model.model.{name}").base_layer.weight
    expected = float(deltas(trainer.model)[name].norm() / weight.norm())
    assert found.parts["change"].facts["modules"][name]["relative"] == pytest.approx(expected, rel=1e-4)


def test_rows_of_new_tokens_and_whole_modules_are_measured_against_the_base(gpt2_base, tmp_path):
    trainer = sft(sft_recipe(tmp_path / "rows", gpt2_base))
    _, found = examined(trainer)
    adapter = next(m for m in trainer.model.modules() if hasattr(m, "trainable_tokens_delta"))
    moved = adapter.trainable_tokens_delta["default"] - adapter.base_layer.weight[adapter.token_indices["default"]]
    facts = found.parts["change"].facts["others"]
    assert facts["transformer.wte (token rows)"]["norm"] == pytest.approx(float(moved.norm()), rel=1e-4)
    trainer = sft(sft_recipe(tmp_path / "whole", gpt2_base, lora_modules_to_save=["wte"]))
    _, found = examined(trainer)
    wrapped = trainer.model.get_submodule("base_model.model.transformer.wte")
    moved = wrapped.modules_to_save["default"].weight - wrapped.original_module.weight
    facts = found.parts["change"].facts["others"]
    assert facts["transformer.wte (whole module)"]["norm"] == pytest.approx(float(moved.norm()), rel=1e-4)


def test_an_adapter_that_was_never_trained_is_an_error(qwen_base, tmp_path):
    for options in ({}, {"use_dora": True}):
        _, found = examined(sft(sft_recipe(tmp_path / str(len(options)), qwen_base, learning_rate=0.0, **options)))
        [finding] = [one for one in found.findings if one.id == "ADAPTER_DID_NOT_MOVE"]
        assert finding.severity is Severity.ERROR
        assert "14 of 14" in finding.summary
        assert found.to_json()["n_errors"] == 1


def test_a_single_module_without_movement_is_named(qwen_base, tmp_path):
    trainer = sft(sft_recipe(tmp_path, qwen_base))
    name = "model.layers.1.mlp.up_proj"
    trainer.train()
    trainer.model.get_submodule(f"base_model.model.{name}").lora_B["default"].weight.data.zero_()
    part = adapter_change(trainer.model)
    assert part.facts["unmoved"] == [name]
    [finding] = part.findings
    assert (finding.id, finding.severity) == ("ADAPTER_DID_NOT_MOVE", Severity.WARNING)
    assert name in finding.evidence[0].text
    assert part.line.startswith("adapter: 13 of 14 modules changed")


def test_magnitudes_alone_are_movement(qwen_base, tmp_path):
    trainer = sft(sft_recipe(tmp_path, qwen_base, use_dora=True))
    start = adapter_start(trainer.model)
    for module in trainer.model.modules():
        if isinstance(module, LoraLayer):
            module.lora_magnitude_vector["default"].weight.data += 0.5
    part = adapter_change(trainer.model, start)
    assert part.facts["norm"] == 0.0
    assert part.facts["smallest"]["magnitude_change"] > 0
    assert not part.findings


@pytest.mark.parametrize("learning_rate", [1e-2, 0.0])
def test_an_adapter_that_is_trained_on_is_compared_with_what_it_was(gpt2_base, tmp_path, learning_rate):
    examined(sft(sft_recipe(tmp_path / "sft", gpt2_base)))
    adapter = str(tmp_path / "sft" / "run")
    trainer = dpo(
        dpo_recipe(tmp_path / "dpo", gpt2_base, adapter_name_or_path=adapter, learning_rate=learning_rate, **FULL)
    )
    _, found = examined(trainer)
    facts = found.parts["change"].facts
    assert not facts["is_new"]
    now, then = deltas(trainer.model), deltas(trainer.model, "ref")
    assert min(float(delta.norm()) for delta in then.values()) > 0.1, "the adapter as a whole is no movement"
    for name, delta in now.items():
        expected = float((delta - then[name]).norm())
        assert facts["modules"][name]["norm"] == pytest.approx(expected, rel=1e-4, abs=1e-9)
    assert (facts["others"]["transformer.wte (token rows)"]["norm"] > 0) == (learning_rate > 0)
    assert ("ADAPTER_DID_NOT_MOVE" in ids_of(found)) == (learning_rate == 0)


def test_what_a_new_adapter_begins_with_is_not_copied(qwen_base, tmp_path):
    assert adapter_start(sft(sft_recipe(tmp_path, qwen_base)).model) == {}


def test_an_adapter_on_stacked_experts_is_measured_over_all_of_them():
    config = MixtralConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, num_local_experts=3,
    )  # fmt: skip
    experts = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    lora = LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj"], target_parameters=experts, task_type="CAUSAL_LM")
    model = get_peft_model(MixtralForCausalLM(config), lora)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    facts = adapter_change(model).facts
    wrappers = {m.parameter_name: m for m in model.modules() if isinstance(m, ParamWrapper)}
    assert len(wrappers) == 2
    for parameter, wrapper in wrappers.items():
        [found] = [one for name, one in facts["modules"].items() if name.endswith(f".{parameter}")]
        delta = wrapper.get_delta_weight("default").detach()
        assert delta.shape[0] == 3
        assert found["norm"] == pytest.approx(float(delta.norm()), rel=1e-5)
        assert found["relative"] == pytest.approx(float(delta.norm() / wrapper.get_param().norm()), rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}])
def test_the_saved_adapter_says_the_same(qwen_base, tmp_path, options):
    _, found = examined(sft(sft_recipe(tmp_path, qwen_base, **options)))
    saved = saved_adapter_change(tmp_path / "run").facts
    facts = found.parts["change"].facts
    assert saved["norm"] == facts["norm"]
    assert {name: one["norm"] for name, one in saved["modules"].items()} == {
        name: one["norm"] for name, one in facts["modules"].items()
    }
    assert saved_adapter_change(tmp_path).facts == {"reason": "there is no adapter_model.safetensors"}
