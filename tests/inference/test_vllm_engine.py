"""What vLLM would be given. vLLM itself is not here: a stand-in with its published names answers by transformers."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from pipelines.errors import UserError
from pipelines.inference import engines, vllm_engine
from pipelines.inference.generation import Engine, SamplingPolicy, generate_answers
from pipelines.inference.model_bundle import load_for_inference
from pipelines.inference.sampling import Request
from pipelines.inference.vllm_engine import engine_arguments, sampling_arguments, servable
from pipelines.modeling import LoadedModel

PROMPTS = [[10, 11, 12], [20], [30, 31]]
GREEDY = SamplingPolicy(max_new_tokens=12)


def adapter_on(tiny_model_folder: Path, folder: Path, **options: Any) -> LoadedModel:
    """An adapter of random weights, as PEFT saves it."""
    base = load_for_inference(str(tiny_model_folder))
    torch.manual_seed(5)
    model = get_peft_model(base.model, LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False, **options))
    for name, weight in model.named_parameters():
        if "trainable_tokens" in name or "modules_to_save" in name:
            torch.nn.init.normal_(weight, 0, 0.5)
    model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    return load_for_inference(str(tiny_model_folder), str(folder), dtype="float64")


def test_without_vllm_the_extra_is_named_before_anything_is_generated(
    tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError) as error:
        generate_answers(load_for_inference(str(tiny_model_folder)), PROMPTS, GREEDY, engine=Engine.VLLM)
    assert "got none installed; install the extra, pip install -e '.[vllm]'" in str(error.value)


def test_a_request_becomes_vllms_sampling_parameters() -> None:
    policy = SamplingPolicy(0.7, 0.9, 2, 5, 40)
    first, second = (sampling_arguments(Request((1, 2), sample, 30), policy, [0, 3]) for sample in (0, 1))
    assert first["seed"] != second["seed"]
    assert 0 <= first["seed"] < 2**63
    assert {name: first[name] for name in ("temperature", "top_p", "max_tokens", "stop_token_ids")} == {
        "temperature": 0.7, "top_p": 0.9, "max_tokens": 30, "stop_token_ids": [0, 3],
    }  # fmt: skip


def test_plain_lora_is_served_as_it_is(tiny_model_folder: Path, tmp_path: Path) -> None:
    loaded = adapter_on(tiny_model_folder, tmp_path / "adapter")
    with servable(loaded) as (model, adapter):
        assert (model, adapter) == (str(tiny_model_folder), str((tmp_path / "adapter").resolve()))
        arguments = engine_arguments(loaded, model, adapter)
    assert (arguments["enable_lora"], arguments["max_lora_rank"], arguments["dtype"]) == (True, 8, "float64")


@pytest.mark.parametrize(
    "options",
    [
        {"trainable_token_indices": [2, 3]},
        {"modules_to_save": ["norm"]},
        {"use_dora": True},
        {"rank_pattern": {"layers.0.self_attn.q_proj": 2}},
        {"alpha_pattern": {"layers.0.self_attn.q_proj": 32}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_an_adapter_that_vllm_would_serve_in_part_is_merged_first(
    tiny_model_folder: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    loaded = adapter_on(tiny_model_folder, tmp_path / "adapter", **options)
    prompt = torch.tensor([[2, 10, 3, 11]])
    before = loaded.model(input_ids=prompt).logits
    with servable(loaded) as (folder, adapter):
        assert adapter is None
        merged = load_for_inference(folder)
        assert len(merged.tokenizer) == len(loaded.tokenizer)
        assert torch.allclose(merged.model(input_ids=prompt).logits, before, atol=1e-9)
    assert not Path(folder).exists()
    assert torch.equal(loaded.model(input_ids=prompt).logits, before)
    base = load_for_inference(str(tiny_model_folder), dtype="float64")
    assert not torch.allclose(base.model(input_ids=prompt).logits, before, atol=1e-3)  # the adapter does something


class StandIn:
    """vLLM's LLM as far as it is used."""

    def __init__(self, *, model: str, skip_tokenizer_init: bool, generation_config: str, **_: Any) -> None:
        assert (skip_tokenizer_init, generation_config) == (True, "vllm")
        self.loaded = load_for_inference(model)

    def generate(self, prompts: list[Any], parameters: list[Any], *, lora_request: Any, use_tqdm: bool) -> list[Any]:
        assert lora_request is None
        assert use_tqdm is False
        outputs = []
        for prompt, wanted in zip(prompts, parameters, strict=True):
            policy = SamplingPolicy(max_new_tokens=wanted.max_tokens)
            [[answer]] = generate_answers(self.loaded, [prompt["prompt_token_ids"]], policy)
            outputs.append(SimpleNamespace(outputs=[SimpleNamespace(token_ids=list(answer.token_ids))]))
        return outputs


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {name: ModuleType(name) for name in ("vllm", "vllm.inputs", "vllm.lora", "vllm.lora.request")}
    modules["vllm"].__dict__.update(LLM=StandIn, SamplingParams=SimpleNamespace)
    modules["vllm.inputs"].__dict__.update(TokensPrompt=dict)
    modules["vllm.lora.request"].__dict__.update(LoRARequest=tuple)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda _: "found")
    monkeypatch.setattr(vllm_engine, "_N_AT_A_TIME", 2)


@pytest.mark.usefixtures("stand_in")
def test_answers_come_back_in_the_order_of_the_prompts(tiny_model_folder: Path) -> None:
    loaded = load_for_inference(str(tiny_model_folder))
    prompts = [*PROMPTS, list(range(5, 300))]  # the last leaves no room
    answers = generate_answers(loaded, prompts, GREEDY, engine=Engine.VLLM)
    assert answers == generate_answers(loaded, prompts, GREEDY)
    assert len({answer.token_ids for [answer] in answers}) == 4


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("temperature", [0.001, 3.0])
def test_a_temperature_that_vllm_would_change_is_refused(tiny_model_folder: Path, temperature: float) -> None:
    policy = SamplingPolicy(temperature=temperature, max_new_tokens=4)
    with pytest.raises(UserError, match=r"a temperature of 0, or of 0\.01 to 2\.0, with --engine vllm"):
        generate_answers(load_for_inference(str(tiny_model_folder)), PROMPTS, policy, engine=Engine.VLLM)
