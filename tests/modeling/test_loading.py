"""Models load from folders with one-line errors, and an adapter finds its base."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, TrainingArguments
from trl import ModelConfig

from pipelines.errors import UserError
from pipelines.hub.model_ref import base_of_adapter, value_in_records
from pipelines.inference.loading import load_for_inference
from pipelines.modeling import load_tokenizer, lora_config, stop_token_ids
from pipelines.modeling.adapters import attach_trainable_adapter
from pipelines.modeling.loading import load_base_model, load_config, resize_embeddings
from pipelines.modeling.quantization import quantization_config
from tests.processors import with_bfloat16
from tests.training.data.preference_models import adapter_on


@pytest.fixture
def adapter_folder(tiny_model_folder: Path, tmp_path: Path) -> Path:
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    torch.manual_seed(1)
    adapted = get_peft_model(model, LoraConfig(target_modules="all-linear", init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.tensor([[5, 6, 7]])).logits


def test_an_adapter_folder_alone_is_base_and_adapter(tiny_model_folder: Path, adapter_folder: Path) -> None:
    base = load_for_inference(str(tiny_model_folder))
    alone = load_for_inference(str(adapter_folder))
    together = load_for_inference(str(tiny_model_folder), str(adapter_folder))
    assert torch.equal(logits(alone.model), logits(together.model))
    assert not torch.allclose(logits(alone.model), logits(base.model))
    assert not alone.model.training


def test_the_stop_tokens_are_those_of_tokenizer_template_and_generation_config(tiny_model_folder: Path) -> None:
    loaded = load_for_inference(str(tiny_model_folder))
    loaded.model.generation_config.eos_token_id = [7]
    tokens = {loaded.tokenizer.convert_tokens_to_ids(token) for token in ("<|endoftext|>", "<|im_end|>")}
    assert set(stop_token_ids(loaded.tokenizer, loaded.model)) == {7, *tokens}


@pytest.mark.parametrize("load", [load_base_model, load_tokenizer, load_config])
def test_code_that_a_config_names_is_refused_and_nobody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[[str], Any]
) -> None:
    classes = {"AutoConfig": "other/code--one.Config", "AutoModelForCausalLM": "other/code--one.Model"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": classes}))
    tokenizer = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["other/code--one.Tokenizer", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "y")
    with pytest.raises(UserError, match="needs custom code, which is never run"):
        load(str(tmp_path))
    assert not asked


@pytest.mark.parametrize("load", [load_base_model, load_tokenizer, load_for_inference])
def test_a_missing_model_is_one_line(tmp_path: Path, load) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match="check the path"):
        load(str(tmp_path / "absent"))


@pytest.mark.parametrize("which", ["base", "adapter"])
def test_weights_that_are_cut_short_are_one_line(
    which: str, tiny_model_folder: Path, adapter_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model_folder, tmp_path / "base")
    assert adapter_folder == tmp_path / "adapter"
    (file,) = (tmp_path / which).glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"in safetensors files from .* not fully covered"):
        load_for_inference(str(tmp_path / which))


def test_a_record_beside_an_adapter_that_is_no_object_says_nothing(adapter_folder: Path) -> None:
    named = base_of_adapter(str(adapter_folder))
    (adapter_folder / "lock.json").write_text("[]")
    assert base_of_adapter(str(adapter_folder)) == named
    assert value_in_records(str(adapter_folder), "base") == {}


def test_pickled_weights_are_refused(tiny_model_folder: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors"):
        load_base_model(str(tmp_path))


def test_lora_goes_to_all_linear_layers_unless_told_otherwise(tiny_model_folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    config = lora_config(ModelConfig(use_peft=True), model, [])
    assert config is not None
    adapted = get_peft_model(model, config)
    adapted_layers = {name.split(".")[-4] for name, _ in adapted.named_parameters() if "lora_A" in name}
    assert adapted_layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    named = lora_config(ModelConfig(use_peft=True, lora_target_modules=["q_proj"]), model, [])
    assert named is not None
    assert set(named.target_modules) == {"q_proj"}
    assert lora_config(ModelConfig(), model, []) is None


@pytest.mark.parametrize("tied", [True, False])
def test_rows_of_new_tokens_are_trained_in_embeddings_and_head(tiny_model_folder: Path, tied: bool) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder, tie_word_embeddings=tied)
    adapted = get_peft_model(model, lora_config(ModelConfig(use_peft=True), model, [2, 3]))
    before = logits(adapted)
    rows = [p for name, p in adapted.named_parameters() if "trainable_tokens" in name and p.requires_grad]
    assert len({p.data_ptr() for p in rows}) == (1 if tied else 2)
    with torch.no_grad():
        for row in rows:
            row += 1.0
    moved = (logits(adapted) - before).abs().amax(dim=(0, 1))
    assert (moved > 1e-3).nonzero().flatten().tolist() == [2, 3], "only the new tokens' logits may move for other input"


def test_embeddings_grow_for_added_tokens_and_never_shrink(tiny_model_folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    tokenizer = load_tokenizer(str(tiny_model_folder))
    size = model.get_input_embeddings().num_embeddings
    tokenizer.add_tokens(["<new>"])
    resize_embeddings(model, tokenizer)
    assert model.get_input_embeddings().num_embeddings == size + 1
    resize_embeddings(model, load_tokenizer(str(tiny_model_folder)))
    assert model.get_input_embeddings().num_embeddings == size + 1


@pytest.mark.parametrize(("bf16", "computed"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_four_bit_base_computes_in_what_the_run_does_with_double_quantization(
    bf16: bool, computed: torch.dtype, tmp_path: Path
) -> None:
    training = TrainingArguments(str(tmp_path), use_cpu=True, bf16=bf16)
    config = quantization_config(ModelConfig(load_in_4bit=True), training)
    assert config is not None
    assert (config.bnb_4bit_compute_dtype, config.bnb_4bit_use_double_quant) == (computed, True)


def test_a_four_bit_base_outside_of_a_run_computes_in_what_the_machine_is_fast_in() -> None:
    with with_bfloat16():
        config = quantization_config(ModelConfig(load_in_4bit=True))
    assert config is not None
    assert config.bnb_4bit_compute_dtype == torch.bfloat16
    assert quantization_config(ModelConfig()) is None


@pytest.mark.parametrize("change", [{"hidden_size": 64}, {"num_hidden_layers": 1}, {"num_hidden_layers": 3}])
def test_matrices_that_do_not_fit_every_place_are_refused(
    tiny_model_folder: Path, tmp_path: Path, change: dict
) -> None:
    adapter = adapter_on(tiny_model_folder, tmp_path / "adapter", lora_target_modules=["q_proj", "v_proj"])
    config = LlamaConfig.from_pretrained(tiny_model_folder, **change)
    with pytest.raises(UserError, match="does not fit the base other"):
        attach_trainable_adapter(LlamaForCausalLM(config), str(adapter), "other")


def test_the_attached_adapter_is_trainable_and_remembers_where_its_base_lies_now(
    adapter_folder: Path, tiny_model_folder: Path
) -> None:
    model = attach_trainable_adapter(
        AutoModelForCausalLM.from_pretrained(tiny_model_folder), str(adapter_folder), "here"
    )
    assert all(p.requires_grad == ("lora_" in name) for name, p in model.named_parameters())
    assert model.peft_config["default"].base_model_name_or_path == "here"
