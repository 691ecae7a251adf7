"""A model's name is resolved once: a base, an adapter on its own base, or one line with the reason why not."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from pipelines.errors import UserError
from pipelines.hub.model_ref import ModelRef, model_fingerprint, refuse_other_base, refuse_unusable_model, resolve_model
from pipelines.inference.loading import load_for_inference
from tests.training.data.preference_models import adapter_on

BASE = "recipes/quickstart/base"


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


def test_its_own_base_passes_by_any_spelling_of_its_path(adapter, tiny_model_folder):
    refuse_other_base(str(adapter), str(tiny_model_folder))
    refuse_other_base(str(adapter), f"{tiny_model_folder}/../{tiny_model_folder.name}/")


def test_another_base_is_named_with_the_right_one(adapter, tiny_model_folder, tmp_path):
    for other in ("someone/some-model", str(other_weights(tiny_model_folder, tmp_path / "other"))):
        with pytest.raises(UserError) as refused:
            refuse_other_base(str(adapter), other)
        assert f"was trained on {tiny_model_folder}, got the base {other}" in refused.value.problem
        assert f"use {tiny_model_folder} as the base" in str(refused.value.fix)
        assert "\n" not in str(refused.value)


def test_a_base_that_was_moved_is_known_by_its_fingerprint(adapter, tiny_model_folder, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(tiny_model_folder, moved)
    refuse_other_base(str(adapter), str(moved))  # by the weights of the place that the adapter names
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "gone/from/there"}))
    with pytest.raises(UserError):
        refuse_other_base(str(adapter), str(moved))
    with_record(adapter, tiny_model_folder)
    refuse_other_base(str(adapter), str(moved))


def test_a_base_that_was_trained_on_under_its_name_is_refused(tiny_model_folder, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny_model_folder, base)
    adapter = adapter_on(base, tmp_path / "adapter")
    with_record(adapter, base)
    refuse_other_base(str(adapter), str(base))
    shutil.rmtree(base)
    other_weights(tiny_model_folder, base)
    with pytest.raises(UserError, match="with other weights"):
        refuse_other_base(str(adapter), str(base))


def test_an_adapter_named_alone_is_refused_once_its_base_has_changed(tiny_model_folder, tmp_path):
    """By the lock alone, as in a folder that was pulled: loading would give a model that was never trained."""
    base = tmp_path / "base"
    shutil.copytree(tiny_model_folder, base)
    adapter = adapter_on(base, tmp_path / "adapter")
    locked = {"name_or_path": str(base), "revision": None, "fingerprint": model_fingerprint(str(base))}
    (adapter / "lock.json").write_text(json.dumps({"kind": "lock", "base": locked}))
    assert load_for_inference(str(adapter)).path == str(adapter)
    shutil.rmtree(base)
    other_weights(tiny_model_folder, base)
    here = model_fingerprint(str(base))
    for load in (
        lambda: resolve_model(str(adapter)),
        lambda: resolve_model(str(base), str(adapter)),
        lambda: load_for_inference(ModelRef(str(base), str(adapter))),
    ):
        with pytest.raises(UserError) as refused:
            load()
        assert f"the base {base} with other weights ({here}, locked: {locked['fingerprint']})" in refused.value.problem


def test_a_fingerprint_follows_a_file_of_the_same_size_that_was_written_over(tiny_model_folder, tmp_path):
    shutil.copytree(tiny_model_folder, tmp_path / "base")
    before = model_fingerprint(str(tmp_path / "base"))
    assert before == model_fingerprint(str(tiny_model_folder))
    weights = tmp_path / "base" / "model.safetensors"
    with weights.open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\0\1\2\3")
    assert model_fingerprint(str(tmp_path / "base")) != before


def test_a_folder_without_an_adapter_is_one_line(tiny_model_folder, tmp_path):
    with pytest.raises(UserError, match="no PEFT adapter at"):
        refuse_other_base(str(tmp_path), str(tiny_model_folder))


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A folder of things that are no model, and of an adapter."""
    for folder in ("adapter", "dataset", "gguf", "empty"):
        (tmp_path / folder).mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    (tmp_path / "dataset" / "manifest.json").write_text("{}")
    (tmp_path / "gguf" / "model.Q4_K_M.gguf").write_bytes(b"GGUF")
    (tmp_path / "weights.safetensors").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gguf", "is a GGUF file for llama.cpp, .*; name the folder that it was converted from"),
        ("gguf/model.Q4_K_M.gguf", "is a GGUF file for llama.cpp"),
        ("weights.safetensors", "is a file, .*; name the folder with config.json"),
        ("dataset", "is a dataset folder, .*; check which flag"),
        ("empty", r"has no config\.json"),
    ],
)
def test_a_path_that_is_no_model_is_described(name, message, places):
    with pytest.raises(UserError, match=message):
        refuse_unusable_model(str(places / name))


def test_an_adapter_given_as_a_base_is_refused_and_its_base_is_named(places):
    adapter = str(places / "adapter")
    refuse_unusable_model(adapter)
    for pair in ((adapter, adapter), (BASE, BASE)):
        with pytest.raises(UserError, match=r"is an adapter of org/base, expected a base|is a full model, expected"):
            resolve_model(*pair)
    with pytest.raises(UserError, match="was trained on org/base, got the base recipes/quickstart/base"):
        resolve_model(BASE, adapter)
