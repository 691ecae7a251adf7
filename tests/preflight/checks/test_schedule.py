"""Rates, warm-ups and evaluations that were meant for another run are told; every shipped recipe is left alone."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from pipelines.preflight.check_context import Base, CheckContext, Stage
from pipelines.preflight.checks.schedule import CHECKS
from pipelines.recipe import parse_recipe
from pipelines.records.finding import Severity
from tests.preflight.checks.tokens.test_length import CORPUS, pretraining_case
from tests.preflight.contexts import context_of, findings_by_id, pairs_of, rows_of
from tests.twins.models import model_of, real_config
from tests.twins.runs import KINDS, PROJECT, RECIPES, keys_of, recipe_that_writes


@pytest.fixture(scope="module")
def supervised(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> CheckContext:
    return context_of(tmp_path_factory.mktemp("sft"), qwen, rows_of(120), rows_of(8, "held"), eval_steps=10)


@pytest.fixture(scope="module")
def preferring(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> CheckContext:
    return context_of(tmp_path_factory.mktemp("dpo"), qwen, pairs_of(rows_of(20)), stage=Stage.DPO)


found = partial(findings_by_id, CHECKS)


def with_arguments(
    context: CheckContext, stage: Stage, written: Mapping[str, Any], base: Base, folder: Path
) -> CheckContext:
    """`context` with the arguments of a recipe of these keys, over another base."""
    path = folder / "recipe.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in {"report_to": "none", **written}.items()))
    data, training, model = parse_recipe(KINDS[stage.value], ["--config", str(path)]).arguments
    return replace(context, stage=stage, keys=dict(written), data=data, training=training, model=model, base=base)


def base_like(model: str, **options: Any) -> Base:
    return Base(model, real_config(model), None, None, **options)


def rate_of(context: CheckContext, stage: Stage, model: str, folder: Path, **written: Any) -> list[str]:
    """What is said of a learning rate for a real model; the range is in the summary."""
    written = {"output_dir": folder / "run", **written}
    told = found(with_arguments(context, stage, written, base_like(model), folder))
    return [told["LEARNING_RATE_UNUSUAL"].summary] if "LEARNING_RATE_UNUSUAL" in told else []


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: "-".join(path.parts[-3:]))
def test_a_shipped_recipe_is_left_alone(path, supervised, preferring, tmp_path):
    stage, keys = Stage(path.parent.name), keys_of(path)
    arguments = parse_recipe(KINDS[stage.value], ["--config", str(path), "--output_dir", str(tmp_path)]).arguments
    name = keys.get("model_name_or_path")
    if name is None:
        config, from_scratch = AutoConfig.for_model(keys["model_type"], **keys["model_config"]), True
    else:
        local = (PROJECT / name).is_dir()
        config, from_scratch = (
            AutoConfig.from_pretrained(PROJECT / name) if local else real_config(model_of(name)),
            False,
        )
    adapter = keys.get("adapter_name_or_path")
    if adapter is not None:
        assert recipe_that_writes(adapter).is_file()
    base = Base(str(name), config, None, None, adapter=adapter, from_scratch=from_scratch)
    data, training, model = arguments
    context = preferring if stage is Stage.DPO else supervised
    many = replace(context.train, n_rows=50_000)  # as many rows as the recipes are for
    context = replace(
        context, stage=stage, keys=keys, data=data, training=training, model=model, base=base, train=many
    )  # fmt: skip
    assert [one for one in found(context).values() if one.severity is not Severity.NOTE] == []


@pytest.mark.parametrize(
    ("model", "rate"), [("llama-3.1-8b", 5e-5), ("llama-3.1-8b", 5e-4), ("qwen2.5-0.5b", 1e-3), ("gpt2", 2e-3),
                        ("smollm2-1.7b", 2e-5)]
)  # fmt: skip
def test_a_common_rate_for_lora_is_silent(model, rate, supervised, tmp_path):
    assert not rate_of(supervised, Stage.SFT, model, tmp_path, use_peft=True, learning_rate=rate)


@pytest.mark.parametrize("rate", [1e-6, 1e-5, 5e-3, 1e-1])
def test_an_uncommon_rate_for_lora_is_told(rate, supervised, tmp_path):
    [said] = rate_of(supervised, Stage.SFT, "llama-3.1-8b", tmp_path, use_peft=True, learning_rate=rate)
    assert ("low" if rate < 1e-4 else "high") in said


def test_a_rate_that_was_never_chosen_is_told_for_lora_only(supervised, tmp_path):
    [said] = rate_of(supervised, Stage.SFT, "qwen2.5-1.5b", tmp_path, use_peft=True)
    assert said == "learning_rate is not set, and the default 2e-05 is too low for LoRA"
    assert not rate_of(supervised, Stage.SFT, "qwen2.5-1.5b", tmp_path)


@pytest.mark.parametrize(("model", "rate"), [("llama-3.2-1b", 1e-4), ("llama-3.1-8b", 5e-6), ("gpt2", 2e-4)])
def test_a_common_rate_for_full_fine_tuning_is_silent(model, rate, supervised, tmp_path):
    assert not rate_of(supervised, Stage.SFT, model, tmp_path, learning_rate=rate)


@pytest.mark.parametrize(("model", "rate"), [("llama-3.2-1b", 2e-4), ("llama-3.1-8b", 1e-3), ("gpt2", 1e-1)])
def test_a_rate_of_lora_for_full_fine_tuning_is_told(model, rate, supervised, tmp_path):
    assert rate_of(supervised, Stage.SFT, model, tmp_path, learning_rate=rate)


@pytest.mark.parametrize(("keys", "told"), [
    ({"use_peft": True, "learning_rate": 5e-7}, False), ({"use_peft": True, "learning_rate": 5e-5}, False),
    ({"use_peft": True, "learning_rate": 1e-4}, True), ({"learning_rate": 5e-7}, False),
    ({"learning_rate": 2e-4}, True), ({"use_peft": True}, False),
])  # fmt: skip
def test_a_rate_of_supervision_is_told_for_preferences(keys, told, preferring, tmp_path):
    assert bool(rate_of(preferring, Stage.DPO, "qwen2.5-0.5b", tmp_path, **keys)) is told


def test_pretraining_has_rates_of_its_own(tmp_path):
    def told(**keys: Any) -> bool:
        return "LEARNING_RATE_UNUSUAL" in found(pretraining_case(tmp_path, CORPUS, max_length=128, **keys))

    assert told()  # transformers' default is for going on from a checkpoint
    assert told(learning_rate=1e-1)
    assert not told(learning_rate=6e-4)
    assert not told(learning_rate=1e-1, muon_learning_rate=0.02)
    assert told(learning_rate=3.0, muon_learning_rate=0.02)


def test_a_strong_or_weak_adapter_shifts_what_is_usual(supervised, tmp_path):
    keys = {"use_peft": True, "learning_rate": 5e-6, "lora_r": 16}
    assert rate_of(supervised, Stage.SFT, "llama-3.1-8b", tmp_path, **keys)
    assert not rate_of(supervised, Stage.SFT, "llama-3.1-8b", tmp_path, **keys, lora_alpha=256)


def test_other_optimizers_have_rates_that_nothing_is_said_about(supervised, tmp_path):
    keys = {"use_peft": True, "learning_rate": 0.1}
    assert not rate_of(supervised, Stage.SFT, "llama-3.1-8b", tmp_path, **keys, optim="sgd")
    assert rate_of(supervised, Stage.SFT, "llama-3.1-8b", tmp_path, **keys, optim="paged_adamw_8bit")


@pytest.mark.parametrize(("keys", "severity"), [
    ({"warmup_steps": 200}, Severity.ERROR), ({"warmup_steps": 180}, Severity.ERROR),
    ({"warmup_steps": 100}, Severity.WARNING), ({"warmup_steps": 0.6}, Severity.WARNING),
    ({"warmup_steps": 50}, None), ({"warmup_steps": 0.1}, None), ({"warmup_steps": 0.03, "max_steps": 1}, None),
    ({"warmup_steps": 100, "max_steps": 50}, Severity.ERROR), ({"warmup_steps": 100, "max_steps": 1000}, None),
    ({"warmup_steps": 500, "lr_scheduler_type": "constant"}, None),
    ({"warmup_steps": 500, "lr_scheduler_type": "constant_with_warmup"}, Severity.ERROR),
])  # fmt: skip
def test_a_warmup_that_the_run_is_too_short_for_is_told(keys, severity, qwen, tmp_path):
    context = context_of(tmp_path, qwen, rows_of(120), **keys)  # 120 rows, 2 at a time, 3 times: 180 steps
    told = found(context).get("WARMUP_LONGER_THAN_RUN")
    assert (told and told.severity) == severity


def test_joined_documents_are_told(tmp_path):
    rows = "".join(f'{{"text": "Document {i} tells of numbers."}}\n' for i in range(60))
    (tmp_path / "rows.jsonl").write_text(rows)
    keys = {"max_length": 64, "dataset_name": tmp_path / "rows.jsonl", "learning_rate": 1e-3}
    context = pretraining_case(tmp_path, CORPUS, **keys, respect_documents=False)
    assert found(context)["DOCUMENTS_JOINED"].severity is Severity.NOTE
    context.tokenizer.eos_token = None
    assert found(context)["DOCUMENTS_JOINED"].severity is Severity.WARNING
    assert not found(pretraining_case(tmp_path, CORPUS, **keys))


def test_one_text_file_is_one_document(tmp_path):
    assert not found(pretraining_case(tmp_path, CORPUS, max_length=64, learning_rate=1e-3, respect_documents=False))
