"""The checks of the base and its precision, and the measurements that they rest on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.preflight.check_context import CheckContext, Machine, Stage
from pipelines.preflight.checks import base_model
from pipelines.records.finding import Finding, Severity
from tests.preflight.contexts import Bases, context_of, rows_of
from tests.twins.runs import RECIPES

GPU = Machine("NVIDIA H200", 150 * 2**30, True, 10**12, {})
OLD_GPU = Machine("Tesla T4", 15 * 2**30, False, 10**12, {})


@pytest.fixture(scope="module")
def qwen(bases: Bases, tmp_path_factory: pytest.TempPathFactory) -> CheckContext:
    return context_of(tmp_path_factory.mktemp("qwen"), bases["qwen"], rows_of(4))


def found(context: CheckContext) -> list[Finding]:
    return [finding for check in base_model.CHECKS for finding in check(context)]


def named(context: CheckContext, name: str, own_template: str | None = "another") -> list[Finding]:
    base = replace(context.base, name=name, own_template=own_template)
    return list(base_model.base_is_instruct(replace(context, base=base)))


def precision(
    context: CheckContext, *, machine: Machine = GPU, full: bool = False, dtype: str = "float32", **training: Any
):
    """The findings about a precision."""
    model = replace(context.model, dtype=dtype, use_peft=not full)
    arguments = type(context.training).__new__(type(context.training))
    arguments.__dict__.update({**vars(context.training), "bf16": True, "fp16": False, **training})
    return list(base_model.dtype_against_hardware(replace(context, machine=machine, model=model, training=arguments)))


@pytest.mark.parametrize("family", ["gpt2", "qwen", "llama3"])
def test_a_base_gives_no_error_and_no_warning(bases, tmp_path, family):
    context = context_of(tmp_path, bases[family], rows_of(4))
    assert [finding for finding in found(context) if finding.severity is not Severity.NOTE] == []


@pytest.mark.parametrize(
    "name",
    [
        "Qwen/Qwen2.5-0.5B-Instruct", "google/gemma-3-1b-it", "meta-llama/Llama-2-7b-chat-hf", "/models/my-model-sft",
        "runs/zephyr-7b-sft-lora/checkpoint-300", "HuggingFaceH4/zephyr-7b-beta", "Qwen/Qwen3-8B",
        "mistralai/Mistral-7B-Instruct-v0.3",
        "/cache/hub/models--Qwen--Qwen2.5-0.5B-Instruct/snapshots/0a1b2c",
    ],
)  # fmt: skip
def test_a_name_of_an_instruct_model_is_a_warning(qwen, name):
    [finding] = named(qwen, name)
    assert (finding.id, finding.severity) == ("BASE_IS_INSTRUCT", Severity.WARNING)
    assert named(replace(qwen, stage=Stage.DPO), name) == []


def test_an_instruct_model_is_a_note_where_its_own_template_is_kept(qwen, tmp_path):
    own = qwen.base.own_template
    [finding] = named(qwen, "Qwen/Qwen2.5-0.5B-Instruct", own)
    assert (finding.id, finding.severity) == ("BASE_IS_INSTRUCT", Severity.NOTE)
    [finding] = named(replace(qwen, stage=Stage.PRETRAIN), "Qwen/Qwen2.5-0.5B-Instruct", None)
    assert finding.severity is Severity.WARNING
    text = context_of(tmp_path, Path(qwen.base.name), [{"text": row["output"]} for row in rows_of(4)])
    [finding] = named(text, "Qwen/Qwen2.5-0.5B-Instruct", own)
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize(
    "name",
    [
        "recipes/quickstart/base", "build/quickstart/base", "Qwen/Qwen2.5-0.5B", "openai-community/gpt2",
        "mistralai/Mistral-7B-v0.3", "meta-llama/Llama-3.1-8B", "google/gemma-3-1b-pt", "HuggingFaceTB/SmolLM2-135M",
        "HuggingFaceTB/SmolLM3-3B-Base", "Qwen/Qwen3-8B-Base", "acme/Chat-1B-Base",
        "THUDM/chatglm3-6b-base", "sapienzanlp/Minerva-it-base",
        "/home/me/sft-experiments/chat/models/qwen2.5-0.5b", "GroNLP/gpt2-small-italian", "my/italian-it-gpt2",
        "/home/me/instruct/base-twin", "smollm3-3b", "/cache/hub/models--Qwen--Qwen2.5-0.5B/snapshots/0a1b2c",
    ],
)  # fmt: skip
def test_a_name_of_a_base_is_none(qwen, name):
    assert named(qwen, name) == []


def test_all_bases_of_the_shipped_recipes_are_bases(qwen):
    import yaml

    names = {yaml.safe_load(recipe.read_text()).get("model_name_or_path") for recipe in RECIPES} - {None}
    assert len(names) > 10
    assert [name for name in names if named(qwen, name)] == []


def test_a_run_of_this_project_tells_its_stage(qwen, tmp_path):
    checkpoint = tmp_path / "mine" / "checkpoint-30"
    checkpoint.mkdir(parents=True)
    for program, n_findings in (("sft", 1), ("dpo", 1), ("pretrain", 0)):
        (tmp_path / "mine" / "run.json").write_text(json.dumps({"kind": "run", "program": program}))
        assert len(named(qwen, str(tmp_path / "mine"))) == n_findings
        assert len(named(qwen, str(checkpoint))) == n_findings


def test_a_config_that_names_an_instruct_model_tells_it(qwen, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"_name_or_path": "meta-llama/Llama-3.1-8B-Instruct"}))
    [finding] = named(qwen, str(tmp_path))
    assert "meta-llama/Llama-3.1-8B-Instruct" in finding.summary


def test_shipped_precisions_give_no_finding(qwen):
    for machine in (GPU, Machine(None, 16 * 2**30, True, 10**12, {})):
        assert precision(qwen, machine=machine, dtype="bfloat16") == []
        assert precision(qwen, machine=machine, full=True, learning_rate=1e-6) == []
        assert precision(qwen, machine=machine, bf16=False) == []


def test_bfloat16_on_a_gpu_without_it_is_a_warning(qwen):
    [finding] = precision(qwen, machine=OLD_GPU, dtype="bfloat16")
    assert (finding.id, finding.severity) == ("DTYPE_AGAINST_HARDWARE", Severity.WARNING)
    assert "Tesla T4" in finding.summary
    assert precision(qwen, machine=OLD_GPU, dtype="float16", bf16=False, fp16=True) == []


def test_bfloat16_on_a_processor_without_it_is_a_warning(qwen):
    old = Machine(None, 16 * 2**30, False, 10**12, {})
    [finding] = precision(qwen, machine=old)
    assert (finding.id, finding.severity) == ("DTYPE_AGAINST_HARDWARE", Severity.WARNING)
    assert finding.remedy == "remove bf16 from the command line: the program chooses the precision"
    [finding] = precision(qwen, machine=old, dtype="bfloat16", bf16=False)
    assert finding.remedy.startswith("remove dtype")
    assert precision(qwen, machine=old, bf16=False) == []


def test_float16_weights_in_full_fine_tuning_are_an_error(qwen):
    for keys in ({"bf16": True}, {"bf16": False}, {"bf16": False, "fp16": True}):
        [finding] = precision(qwen, full=True, dtype="float16", **keys)
        assert finding.severity is Severity.ERROR
        assert finding.fix == {"dtype": "float32"}


def test_float16_weights_turn_into_nan_and_the_scaler_refuses_them():
    """The measurements behind the error."""
    layer = torch.nn.Linear(8, 8, dtype=torch.float16)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-4)
    for _ in range(3):
        (layer(torch.full((4, 8), 1e-3, dtype=torch.float16)).float() ** 2).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert layer.weight.isnan().any()
    layer = torch.nn.Linear(8, 8, dtype=torch.float16)
    scaler = torch.amp.GradScaler("cpu")
    optimizer = torch.optim.AdamW(layer.parameters())
    scaler.scale(layer(torch.ones(4, 8, dtype=torch.float16)).mean()).backward()
    with pytest.raises(ValueError, match="unscale FP16 gradients"):
        scaler.unscale_(optimizer)


def test_two_16_bit_types_at_once_are_a_warning(qwen):
    [finding] = precision(qwen, dtype="float16")
    assert finding.severity is Severity.WARNING
    assert finding.fix == {"dtype": "bfloat16"}


def test_bfloat16_weights_at_a_small_learning_rate_are_a_warning(qwen):
    [finding] = precision(qwen, full=True, dtype="bfloat16", learning_rate=1e-5)
    assert finding.severity is Severity.WARNING
    assert "hardly change" in finding.why
    assert precision(qwen, full=True, dtype="bfloat16", learning_rate=3e-4) == []
    assert precision(qwen, full=False, dtype="bfloat16", learning_rate=1e-5) == []


def moved_share(dtype: torch.dtype, learning_rate: float) -> float:
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 64, bias=False)
    torch.nn.init.normal_(layer.weight, std=0.02)
    layer = layer.to(dtype)
    before = layer.weight.detach().clone()
    target = torch.randn(64, 64) * 0.02
    optimizer = torch.optim.AdamW(layer.parameters(), lr=learning_rate, weight_decay=0.0)
    for _ in range(100):
        inputs = torch.randn(32, 64)
        ((layer(inputs.to(dtype)).float() - inputs @ target.T) ** 2).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return float((layer.weight.detach() != before).float().mean())


def test_bfloat16_weights_stand_still_below_the_threshold_and_float32_ones_do_not():
    """The measurement behind `_FROZEN_BELOW`."""
    assert moved_share(torch.bfloat16, 1e-5) < 0.3
    assert moved_share(torch.bfloat16, 2 * base_model._FROZEN_BELOW) > 0.9
    assert moved_share(torch.float32, 1e-5) > 0.99


def test_fp16_on_a_cpu_is_noted(qwen):
    [finding] = precision(qwen, machine=Machine(None, 2**34, True, 10**12, {}), bf16=False, fp16=True)
    assert finding.severity is Severity.NOTE
    assert "computes in float32" in finding.summary
    assert finding.remedy.startswith("remove fp16")


def test_added_rows_are_noted_with_what_is_trained(bases, tmp_path, qwen):
    context = context_of(tmp_path, bases["gpt2"], rows_of(4))
    [finding] = base_model.embeddings_resized(context)
    assert (finding.id, finding.severity) == ("EMBEDDINGS_RESIZED", Severity.NOTE)
    assert "from 300 to 302 rows; LoRA trains only the rows of new tokens" in finding.summary
    full = replace(context, model=replace(context.model, use_peft=False))
    assert "all rows are trained" in next(base_model.embeddings_resized(full)).summary
    assert list(base_model.embeddings_resized(qwen)) == []
