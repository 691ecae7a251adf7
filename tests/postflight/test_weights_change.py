"""Full fine-tuning is measured against the files of the base."""

import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig

from pipelines.postflight import weights_change as module
from pipelines.postflight.weights_change import base_folder, weights_change
from pipelines.records.finding import Severity
from tests.postflight.runs import FULL, dpo, dpo_recipe, examined, ids_of, sft, sft_recipe


def test_the_distance_is_that_of_all_weights_over_the_rows_that_both_have(gpt2_base, tmp_path):
    _, found = examined(sft(sft_recipe(tmp_path, gpt2_base, **FULL)))
    facts = found.parts["change"].facts
    before, after = load_file(gpt2_base / "model.safetensors"), load_file(tmp_path / "run" / "model.safetensors")
    assert len(after["transformer.wte.weight"]) > len(before["transformer.wte.weight"]), "marks of a template are new"
    moved = {name: (after[name][: len(weight)] - weight).norm() for name, weight in before.items()}
    size = torch.stack([weight.norm() for weight in before.values()]).norm()
    total = torch.stack(list(moved.values())).norm()
    assert facts["relative"] == pytest.approx(float(total / size), rel=1e-4)
    assert facts["n_compared"] == facts["n_tensors"] == len(before)
    assert facts["unmoved"] == []
    assert "ADAPTER_DID_NOT_MOVE" not in ids_of(found)


def test_a_model_that_is_still_its_base_is_an_error(qwen_base, tmp_path):
    _, found = examined(sft(sft_recipe(tmp_path, qwen_base, learning_rate=0.0, **FULL)))
    [finding] = [one for one in found.findings if one.id == "ADAPTER_DID_NOT_MOVE"]
    assert finding.severity is Severity.ERROR
    assert found.parts["change"].facts["relative"] == 0.0


def test_a_base_that_was_loaded_in_bfloat16_has_not_moved_by_that(qwen_base, tmp_path):
    recipe = sft_recipe(tmp_path, qwen_base, learning_rate=0.0, dtype="bfloat16", **FULL)
    _, found = examined(sft(recipe))
    assert found.parts["change"].facts["norm"] == 0.0


def test_preference_tuning_in_full_is_measured_too(qwen_base, tmp_path):
    _, found = examined(dpo(dpo_recipe(tmp_path, qwen_base, **FULL)))
    assert found.parts["change"].facts["relative"] > 0


def test_of_a_large_model_some_tensors_are_compared(qwen_base, tmp_path, monkeypatch):
    shutil.copytree(qwen_base, tmp_path / "same")
    monkeypatch.setattr(module, "_MAX_BYTES", (qwen_base / "model.safetensors").stat().st_size / 2.5)
    facts = weights_change(tmp_path / "same", qwen_base).facts
    assert (facts["n_compared"], facts["n_tensors"]) == (9, 26), "every third"


def test_other_names_are_no_change_but_a_reason(qwen_base, gpt2_base):
    assert "no tensor" in weights_change(qwen_base, gpt2_base).facts["reason"]


def test_a_base_of_the_hub_is_found_where_it_was_downloaded(qwen_base, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    config = AutoConfig.from_pretrained(qwen_base)
    config._name_or_path, config._commit_hash = "some/base", "ab" * 20
    assert base_folder(config) is None
    snapshot = tmp_path / "models--some--base" / "snapshots" / ("ab" * 20)
    shutil.copytree(qwen_base, snapshot)
    assert base_folder(config) == snapshot
    config._name_or_path = ""
    assert base_folder(config) is None
    config._name_or_path = "/no/such/folder"
    assert base_folder(config) is None
    config._name_or_path = str(qwen_base)
    assert base_folder(config) == qwen_base
