"""Models load from folders with one-line errors, and an adapter finds its base."""

import json
import shutil
from pathlib import Path

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
from pipelines.modeling.quantization import keep_four_bit_gradients, quantization_config
from tests.run_files import with_bfloat16
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


def test_an_adapter_folder_alone_is_base_and_adapter(tiny_model_folder, adapter_folder):
    base = load_for_inference(str(tiny_model_folder))
    alone = load_for_inference(str(adapter_folder))
    together = load_for_inference(str(tiny_model_folder), str(adapter_folder))
    assert torch.equal(logits(alone.model), logits(together.model))
    assert not torch.allclose(logits(alone.model), logits(base.model))
    assert not alone.model.training
    base.model.generation_config.eos_token_id = [7]  # tokenizer, template and generation config stop answers
    ends = base.tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    assert set(stop_token_ids(base.tokenizer, base.model)) == {7, *ends}


@pytest.mark.parametrize("load", [load_base_model, load_tokenizer, load_config])
def test_custom_code_is_refused_without_a_question(tmp_path, monkeypatch, load):
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
def test_a_missing_model_is_one_line(tmp_path, load):
    with pytest.raises(UserError, match="check the path"):
        load(str(tmp_path / "absent"))


@pytest.mark.parametrize("which", ["base", "adapter"])
@pytest.mark.usefixtures("adapter_folder")
def test_weights_that_are_cut_short_are_one_line(which, tiny_model_folder, tmp_path):
    shutil.copytree(tiny_model_folder, tmp_path / "base")
    (file,) = (tmp_path / which).glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"in safetensors files from .* not fully covered"):
        load_for_inference(str(tmp_path / which))


def test_a_record_beside_an_adapter_that_is_no_object_says_nothing(adapter_folder):
    named = base_of_adapter(str(adapter_folder))
    (adapter_folder / "lock.json").write_text("[]")
    assert base_of_adapter(str(adapter_folder)) == named
    assert value_in_records(str(adapter_folder), "base") == {}


def test_pickled_weights_are_refused(tiny_model_folder, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors"):
        load_base_model(str(tmp_path))


def test_lora_goes_to_all_linear_layers_unless_told_otherwise(tiny_model_folder):
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
def test_rows_of_new_tokens_are_trained_in_embeddings_and_head(tiny_model_folder, tied):
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


def test_embeddings_grow_for_added_tokens_and_never_shrink(tiny_model_folder, tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    size = model.get_input_embeddings().num_embeddings
    tiny.add_tokens(["<new>"])
    for tokenizer in (tiny, load_tokenizer(str(tiny_model_folder))):
        resize_embeddings(model, tokenizer)
        assert model.get_input_embeddings().num_embeddings == size + 1


@pytest.mark.parametrize("bf16", [True, False, None])  # None: outside of a run, in what the machine is fast in
def test_a_four_bit_base_computes_in_what_the_run_does_with_double_quantization(bf16, tmp_path):
    training = None if bf16 is None else TrainingArguments(str(tmp_path), use_cpu=True, bf16=bf16)
    with with_bfloat16():
        config = quantization_config(ModelConfig(load_in_4bit=True), training)
    assert config is not None
    computed = torch.float32 if bf16 is False else torch.bfloat16
    assert (config.bnb_4bit_compute_dtype, config.bnb_4bit_use_double_quant) == (computed, True)
    assert quantization_config(ModelConfig()) is None


@pytest.mark.parametrize("change", [{"hidden_size": 64}, {"num_hidden_layers": 1}, {"num_hidden_layers": 3}])
def test_an_adapter_that_does_not_fit_is_refused(tiny_model_folder, tmp_path, change):
    adapter = adapter_on(tiny_model_folder, tmp_path / "adapter", lora_target_modules=["q_proj", "v_proj"])
    config = LlamaConfig.from_pretrained(tiny_model_folder, **change)
    with pytest.raises(UserError, match="does not fit the base other"):
        attach_trainable_adapter(LlamaForCausalLM(config), str(adapter), "other")


def test_the_attached_adapter_is_trainable_and_names_its_base(adapter_folder, tiny_model_folder):
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    model = attach_trainable_adapter(base, str(adapter_folder), "here")
    assert all(p.requires_grad == ("lora_" in name) for name, p in model.named_parameters())
    assert model.peft_config["default"].base_model_name_or_path == "here"


def gradient_at_the_bottom(model: LlamaForCausalLM) -> torch.Tensor:
    model.train()
    ids = torch.arange(1, 17)[None]
    embedded = model.get_input_embeddings()(ids).detach().requires_grad_()
    model(inputs_embeds=embedded, labels=ids).loss.backward()
    assert embedded.grad is not None
    return embedded.grad


def test_an_evaluation_on_a_cpu_does_not_take_the_gradients_away(tmp_path):
    sizes = {"vocab_size": 64, "hidden_size": 128, "intermediate_size": 256}
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=2, num_attention_heads=2)).save_pretrained(tmp_path)
    four_bit = quantization_config(ModelConfig(load_in_4bit=True))
    model = load_base_model(str(tmp_path), dtype="float32", quantization_config=four_bit)
    keep_four_bit_gradients(model)
    before = gradient_at_the_bottom(model)
    model.eval()
    with torch.no_grad():
        model(torch.arange(1, 17)[None])
    assert torch.allclose(gradient_at_the_bottom(model), before, rtol=1e-3, atol=1e-6)
