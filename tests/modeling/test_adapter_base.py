"""An adapter on a base that is not its own is told before anything is trained."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from pipelines.errors import UserError
from pipelines.inference.model_bundle import load_for_inference
from pipelines.inference.model_choice import ModelChoice, loaded_one_by_one
from pipelines.modeling import model_fingerprint
from pipelines.modeling.adapter_base import attach_trainable_adapter, refuse_other_base
from tests.training.data.preference_models import adapter_on


@pytest.fixture
def adapter(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return adapter_on(tiny_model_folder, tmp_path / "adapter")


def with_record(adapter: Path, base: Path) -> None:
    record = {"kind": "run", "base": {"path": str(base), "fingerprint": model_fingerprint(str(base))}}
    (adapter / "run.json").write_text(json.dumps(record))


def other_weights(base: Path, folder: Path) -> Path:
    shutil.copytree(base, folder)
    weights = load_file(folder / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_its_own_base_passes_by_any_spelling_of_its_path(adapter: Path, tiny_model_folder: Path) -> None:
    refuse_other_base(str(adapter), str(tiny_model_folder))
    refuse_other_base(str(adapter), f"{tiny_model_folder}/../{tiny_model_folder.name}/")


def test_another_base_is_named_with_the_right_one(adapter: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    for other in ("someone/some-model", str(other_weights(tiny_model_folder, tmp_path / "other"))):
        with pytest.raises(UserError) as refused:
            refuse_other_base(str(adapter), other)
        assert str(tiny_model_folder) in refused.value.expected
        assert other in refused.value.got
        assert f"give {tiny_model_folder} as the base" in refused.value.remedy
        assert "\n" not in str(refused.value)


def test_a_base_that_was_moved_is_known_by_its_fingerprint(
    adapter: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(tiny_model_folder, moved)
    refuse_other_base(str(adapter), str(moved))  # by the weights of the place that the adapter names
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "gone/from/there"}))
    with pytest.raises(UserError):
        refuse_other_base(str(adapter), str(moved))
    with_record(adapter, tiny_model_folder)
    refuse_other_base(str(adapter), str(moved))


def test_a_base_that_was_trained_on_under_its_name_is_refused(tiny_model_folder: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model_folder, base)
    adapter = adapter_on(base, tmp_path / "adapter")
    with_record(adapter, base)
    refuse_other_base(str(adapter), str(base))
    shutil.rmtree(base)
    other_weights(tiny_model_folder, base)
    with pytest.raises(UserError, match="with other weights"):
        refuse_other_base(str(adapter), str(base))


def test_an_adapter_named_alone_is_refused_once_its_base_has_changed(tiny_model_folder: Path, tmp_path: Path) -> None:
    """By the lock alone, as in a folder that was pulled: loading would give a model that was never trained."""
    base = tmp_path / "base"
    shutil.copytree(tiny_model_folder, base)
    adapter = adapter_on(base, tmp_path / "adapter")
    locked = {"name_or_path": str(base), "revision": None, "fingerprint": model_fingerprint(str(base))}
    (adapter / "lock.json").write_text(json.dumps({"kind": "lock", "base": locked}))
    assert load_for_inference(str(adapter)).path == str(adapter)
    assert next(loaded_one_by_one([ModelChoice(str(adapter))], ["alone"])).name == "alone"
    shutil.rmtree(base)
    other_weights(tiny_model_folder, base)
    here = model_fingerprint(str(base))
    for load in (
        lambda: load_for_inference(str(adapter)),
        lambda: load_for_inference(str(base), str(adapter)),
        lambda: next(loaded_one_by_one([ModelChoice(str(adapter))], ["alone"])),
    ):
        with pytest.raises(UserError) as refused:
            load()
        assert f"the base {base} with other weights ({here}, locked: {locked['fingerprint']})" in refused.value.got


def test_a_fingerprint_follows_a_file_of_the_same_size_that_was_written_over(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model_folder, tmp_path / "base")
    before = model_fingerprint(str(tmp_path / "base"))
    assert before == model_fingerprint(str(tiny_model_folder))
    weights = tmp_path / "base" / "model.safetensors"
    with weights.open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\0\1\2\3")
    assert model_fingerprint(str(tmp_path / "base")) != before


@pytest.mark.parametrize("change", [{"hidden_size": 64}, {"num_hidden_layers": 1}, {"num_hidden_layers": 3}])
def test_matrices_that_do_not_fit_every_place_are_refused(
    tiny_model_folder: Path, tmp_path: Path, change: dict
) -> None:
    adapter = adapter_on(tiny_model_folder, tmp_path / "adapter", lora_target_modules=["q_proj", "v_proj"])
    config = LlamaConfig.from_pretrained(tiny_model_folder, **change)
    with pytest.raises(UserError, match="expected an adapter that fits the base other"):
        attach_trainable_adapter(LlamaForCausalLM(config), str(adapter), "other")


def test_a_folder_without_an_adapter_is_one_line(tiny_model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a PEFT adapter at"):
        refuse_other_base(str(tmp_path), str(tiny_model_folder))


def test_the_attached_adapter_is_trainable_and_remembers_where_its_base_lies_now(
    adapter: Path, tiny_model_folder: Path
) -> None:
    model = attach_trainable_adapter(AutoModelForCausalLM.from_pretrained(tiny_model_folder), str(adapter), "here")
    assert all(p.requires_grad == ("lora_" in name) for name, p in model.named_parameters())
    assert model.peft_config["default"].base_model_name_or_path == "here"
