"""Every kind of adapter becomes part of its base: the same logits and texts, with nothing of PEFT left."""

import math
import shutil
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

from pipelines.errors import UserError
from pipelines.files import write_json_atomically
from pipelines.merging.adapter_mix import AdapterMix
from pipelines.merging.merge_into_base import MergedModel
from pipelines.merging.proof import MAX_KL, Proof, ProofPlan, merge_and_prove
from pipelines.modeling.loading import load_base_model
from tests.merging.adapters import read_here, save_adapter

PLAN = ProofPlan(n_rows=6, max_new_tokens=6)


@dataclass(frozen=True)
class Case:
    base: str
    lora: dict[str, Any] = field(default_factory=dict)
    tied: bool = False
    untied: tuple[str, ...] = ()

    @property
    def kept_tied(self) -> bool:
        return self.tied and not self.untied


HEAD = ("lm_head.weight",)
EMBEDDINGS = ["embed_tokens", "lm_head"]
CASES = {
    "LoRA": Case("llama-3.1-8b"),
    "LoRA on a tied head's base": Case("llama-3.2-1b", tied=True),
    "DoRA": Case("qwen2.5-0.5b", {"use_dora": True}, tied=True),
    "rsLoRA": Case("smollm2-135m", {"use_rslora": True}, tied=True),
    "other ranks": Case("smollm3-3b", {"rank_pattern": {"q_proj": 7}, "alpha_pattern": {"v_proj": 3}}, tied=True),
    "Gemma with scaled embeddings": Case("gemma-3-1b", {"trained_rows_of": ("embed_tokens",)}, tied=True),
    "GPT-2's transposed layers": Case("gpt2", {"fan_in_fan_out": True}, tied=True),
    "DoRA on GPT-2": Case("gpt2", {"fan_in_fan_out": True, "use_dora": True}, tied=True),
    "a tied head with added tokens": Case("gpt2", {"fan_in_fan_out": True, "trained_rows_of": ("wte",)}, tied=True),
    "an untied head with trained rows": Case("mistral-7b-v0.3", {"trained_rows_of": tuple(EMBEDDINGS)}),
    "embeddings saved whole": Case("llama-3.1-8b", {"modules_to_save": EMBEDDINGS}),
    "tied embeddings saved whole": Case(
        "llama-3.2-1b", {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}, tied=True
    ),
    "the head alone saved whole": Case("llama-3.2-1b", {"modules_to_save": ["lm_head"]}, tied=True, untied=HEAD),
    "LoRA on the tied head alone": Case(
        "llama-3.2-1b", {"target_modules": ["q_proj", "lm_head"]}, tied=True, untied=HEAD
    ),
    "LoRA on embeddings and head as one": Case(
        "llama-3.2-1b", {"target_modules": ["q_proj", *EMBEDDINGS], "ensure_weight_tying": True}, tied=True
    ),
    "biases": Case("qwen2.5-0.5b", {"bias": "all"}, tied=True),
    "a bias beside B": Case(
        "qwen2.5-0.5b", {"target_modules": ["q_proj", "v_proj"], "lora_bias": True, "lora_alpha": 64}, tied=True
    ),
    "matrices taken out of the base": Case("qwen2.5-0.5b", {"init_lora_weights": "pissa"}, tied=True),
}

# Covered by the others but for one detail each.
FURTHER = {
    "LoRA on a tied head's base", "other ranks", "DoRA on GPT-2", "embeddings saved whole", "biases",
    "LoRA on embeddings and head as one",
}  # fmt: skip


def merged(base: Path, adapter: Path, folder: Path, dtype: str = "auto", **plan: Any) -> tuple[MergedModel, Proof]:
    folder.mkdir()
    plan = PLAN if not plan else ProofPlan(**plan)
    return merge_and_prove(AdapterMix((str(adapter),)), str(base), folder, dtype, "60KB", plan, read_here)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in FURTHER else []) for name in CASES]
)
@pytest.mark.filterwarnings("ignore")
def test_a_merged_adapter_computes_what_it_computed_on_its_base(name, twin, tmp_path):
    case, base = CASES[name], twin(CASES[name].base)
    adapter = save_adapter(base, tmp_path / "adapter", **case.lora)
    written, proof = merged(base, adapter, tmp_path / "merged")
    assert proof.measured.kl_mean <= MAX_KL * 1e-6
    assert proof.n_equal == proof.n_texts == 6
    assert written.record["untied"] == list(case.untied)
    assert (
        written.record["tied"] == case.kept_tied == AutoConfig.from_pretrained(tmp_path / "merged").tie_word_embeddings
    )
    files = list((tmp_path / "merged").glob("model-*.safetensors"))
    assert len(files) == written.record["n_files"] > 1
    before, after = weights_of(base), weights_of(tmp_path / "merged")
    assert ("lm_head.weight" in after) == (not case.kept_tied)
    moved = [name for name in before if before[name].shape != after[name].shape or (before[name] != after[name]).any()]
    assert moved


def test_an_adapter_of_a_4_bit_base_goes_into_the_full_precision_base(twin, tmp_path):
    base = twin("llama-3.2-1b")
    four_bit = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16, bnb_4bit_quant_type="nf4")
    adapter = save_adapter(base, tmp_path / "adapter", options={"quantization_config": four_bit})
    write_json_atomically(adapter / "lock.json", {"recipe": {"load_in_4bit": True}})  # all that the Hub has of its run
    written, proof = merged(base, adapter, tmp_path / "merged")
    assert proof.measured.kl_mean <= MAX_KL * 1e-6
    assert written.record["dtype"] == "float32"
    assert proof.quantized is not None
    assert proof.quantized.kl_mean > 1000 * proof.measured.kl_mean
    name = "model.norm.weight"
    assert torch.equal(weights_of(tmp_path / "merged")[name], weights_of(base)[name])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bits_may_cost_what_rounding_costs(dtype, twin, tmp_path):
    base = twin("qwen2.5-0.5b")
    adapter = save_adapter(base, tmp_path / "adapter")
    written, proof = merged(base, adapter, tmp_path / "merged", dtype)
    assert proof.rounding is not None
    assert proof.rounding.kl_mean / 4 < proof.measured.kl_mean < 4 * proof.rounding.kl_mean
    assert {str(tensor.dtype) for tensor in weights_of(tmp_path / "merged").values()} == {f"torch.{dtype}"}
    assert str(AutoModelForCausalLM.from_pretrained(tmp_path / "merged").dtype) == f"torch.{dtype}"
    assert written.record["dtype"] == dtype


@pytest.mark.parametrize("which", ["base", "adapter"])
def test_weights_that_are_cut_short_are_one_line(which, twin, tmp_path):
    shutil.copytree(twin("llama-3.2-1b"), tmp_path / "base")
    save_adapter(tmp_path / "base", tmp_path / "adapter")
    (cut,) = (tmp_path / which).glob("*.safetensors")
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(UserError, match="not fully covered"):
        merged(tmp_path / "base", tmp_path / "adapter", tmp_path / "merged")


@pytest.mark.parametrize(("largest", "is_held"), [(60_000.0, True), (70_000.0, False)])
def test_a_weight_near_the_end_of_float16_is_proven_and_one_beyond_it_refused(largest, is_held, twin, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(twin("llama-3.2-1b"), base)
    weights = weights_of(base)
    weights["model.norm.weight"][0] = largest
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    adapter = save_adapter(base, tmp_path / "adapter")
    if is_held:
        _, proof = merged(base, adapter, tmp_path / "merged", "float16")
        assert proof.rounding is not None
        assert math.isfinite(proof.max_kl)
    else:
        with pytest.raises(UserError, match=r"has numbers that torch\.float16 cannot hold"):
            merged(base, adapter, tmp_path / "merged", "float16")


def test_a_base_saved_without_its_prefix_is_merged(twin, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    for file in twin("gpt2").iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    weights = load_file(base / "model.safetensors")
    bare = {name.removeprefix("transformer."): tensor for name, tensor in weights.items()}
    save_file(bare, base / "model.safetensors", metadata={"format": "pt"})
    adapter = save_adapter(base, tmp_path / "adapter", fan_in_fan_out=True)
    _, proof = merged(base, adapter, tmp_path / "merged")
    assert proof.measured.kl_mean <= MAX_KL * 1e-6


def test_experts_that_transformers_joins_while_loading_are_merged(twin, tmp_path):
    llama = twin("llama-3.2-1b")
    vocab_size = AutoConfig.from_pretrained(llama).vocab_size
    config = AutoConfig.for_model(
        "mixtral", vocab_size=vocab_size, hidden_size=64, intermediate_size=64, num_hidden_layers=2, bos_token_id=None,
        num_attention_heads=4, num_key_value_heads=2, num_local_experts=4, max_position_embeddings=512, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "base" / name).write_bytes((llama / name).read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapter = save_adapter(tmp_path / "base", tmp_path / "adapter", target_modules=["q_proj", "v_proj"])
        _, proof = merged(tmp_path / "base", adapter, tmp_path / "merged")
    assert proof.measured.kl_mean <= MAX_KL * 1e-6


def test_a_base_that_was_saved_quantized_is_refused(twin, tmp_path):
    adapter = save_adapter(twin("llama-3.2-1b"), tmp_path / "adapter")
    four_bit = BitsAndBytesConfig(load_in_4bit=True)
    load_base_model(str(twin("llama-3.2-1b")), quantization_config=four_bit).save_pretrained(tmp_path / "4-bit")
    with pytest.raises(UserError, match=r"was saved quantized, expected a base in full precision"):
        merged(tmp_path / "4-bit", adapter, tmp_path / "merged")


def test_a_base_that_needs_code_of_its_own_is_refused(twin, tmp_path):
    adapter = save_adapter(twin("llama-3.2-1b"), tmp_path / "adapter")
    config = AutoConfig.from_pretrained(twin("llama-3.2-1b"))
    config.auto_map = {"AutoModelForCausalLM": "modeling.Model"}
    config.save_pretrained(tmp_path / "base")
    with pytest.raises(UserError, match="auto_map in its config"):
        merged(tmp_path / "base", adapter, tmp_path / "merged")
