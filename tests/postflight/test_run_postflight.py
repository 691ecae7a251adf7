"""The examination changes nothing of a run, breaks nothing, and its record is plain JSON."""

import json
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipelines.postflight import PostflightReport, measure_baseline, read_general_text, run_postflight
from pipelines.postflight.measurement import Measurement
from pipelines.records.finding import Finding, Severity
from pipelines.report.doctor.postflight_results import check_results
from tests.postflight.runs import FULL, dpo, dpo_recipe, examined, sft, sft_recipe

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"lora_dropout": 0.1},
    "qlora": {"load_in_4bit": True},
    "8bit": {"load_in_8bit": True},
    "full": FULL,
}


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_examined_ends_in_the_very_weights_of_one_that_is_not(qwen_base, tmp_path, general_text, method):
    trained = []
    for name in ("with", "without"):
        trainer = sft(sft_recipe(tmp_path / name, qwen_base, **METHODS[method]))
        if name == "with":
            before = measure_baseline(trainer, read_general_text(str(general_text)))
        trainer.train()
        if name == "with":
            run_postflight(trainer, before)
        trainer.save_model()
        [path] = (tmp_path / name / "run").glob("*model.safetensors")
        trained.append(load_file(path))
    assert trained[0].keys() == trained[1].keys()
    assert all(torch.equal(trained[0][key], trained[1][key]) for key in trained[0])


def test_the_model_is_left_as_it_was(gpt2_base, tmp_path, general_text):
    trainer: Any = sft(sft_recipe(tmp_path, gpt2_base))
    before, _ = examined(trainer, general_text)
    trainer.model.train()
    wanted = {name: one.requires_grad for name, one in trainer.model.named_parameters()}
    state, config = torch.get_rng_state(), trainer.model.generation_config
    run_postflight(trainer, before)
    assert {name: one.requires_grad for name, one in trainer.model.named_parameters()} == wanted
    assert torch.equal(state, torch.get_rng_state())
    assert trainer.model.generation_config is config
    assert all(module.training for module in trainer.model.modules())


def test_the_record_is_plain_json_with_every_part(gpt2_base, tmp_path, general_text):
    _, found = examined(sft(sft_recipe(tmp_path, gpt2_base)), general_text)
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert list(record) == [
        "kind", "n_errors", "n_warnings", "change", "learned_to_stop", "forgetting", "loss", "findings",
    ]  # fmt: skip
    assert record["kind"] == "after_run"
    assert record["n_warnings"] == len(record["findings"]) == 1
    lines = found.lines()
    assert [line.split(":")[0] for line in lines] == [
        "adapter", "end token", "general text", "loss", "warning STOP_NOT_LEARNED",
    ]  # fmt: skip
    assert all(line.isascii() for line in lines)


@pytest.mark.parametrize(
    "options", [{}, {"use_dora": True}, FULL, {"held_out": ()}], ids=["lora", "dora", "full", "no evaluation"]
)
def test_the_report_reads_the_record(gpt2_base, tmp_path, general_text, options):
    _, found = examined(sft(sft_recipe(tmp_path, gpt2_base, **options)), general_text)
    view = check_results({"after_run": json.loads(json.dumps(found.to_json()))})["after_run"]
    assert view is not None
    assert [fact.name for fact in view.facts][1:] == ["End token", "General text", "Loss"]
    assert len(view.alarms) == len(found.findings)


def test_what_is_not_measured_says_why(qwen_base, tmp_path):
    _, found = examined(sft(sft_recipe(tmp_path, qwen_base, held_out=())))
    record = found.to_json()
    assert record["forgetting"] == {"reason": "the recipe has no general_text"}
    assert "reason" in record["learned_to_stop"]
    assert record["change"]["n_modules"] == 14


def test_without_a_look_before_the_run_the_rest_is_still_told(qwen_base, tmp_path):
    trainer = sft(sft_recipe(tmp_path, qwen_base))
    examined(trainer)
    parts = run_postflight(trainer).parts
    assert parts["change"].facts["n_unmoved"] == 0
    assert "before" not in parts["learned_to_stop"].facts


def test_a_model_in_shards_is_known_by_what_was_saved(qwen_base, tmp_path, general_text, monkeypatch):
    trainer: Any = sft(sft_recipe(tmp_path, qwen_base))
    _, whole = examined(trainer)
    trainer.is_fsdp_enabled = True
    before = measure_baseline(trainer, read_general_text(str(general_text)))
    assert (before.adapter, before.ends) == ({}, None)
    parts = run_postflight(trainer, before).parts
    assert parts["change"].facts["norm"] == whole.parts["change"].facts["norm"]
    assert "sharded" in parts["forgetting"].facts["reason"]
    monkeypatch.setitem(trainer.model.peft_config, "ref", trainer.model.peft_config["default"])
    assert "continued an adapter" in run_postflight(trainer, before).parts["change"].facts["reason"]


def test_ranks_that_do_not_write_measure_nothing(qwen_base, tmp_path, general_text):
    trainer: Any = sft(sft_recipe(tmp_path, qwen_base))
    trainer.is_world_process_zero = lambda: False
    before = measure_baseline(trainer, read_general_text(str(general_text)))
    assert before.ends is None
    assert run_postflight(trainer, before).to_json() == {
        "kind": "after_run",
        "n_errors": 0,
        "n_warnings": 0,
        "findings": [],
    }


def test_a_model_without_numbers_does_not_break_the_end_of_a_run(qwen_base, tmp_path, general_text):
    trainer: Any = sft(sft_recipe(tmp_path, qwen_base))
    before, _ = examined(trainer, general_text)
    name = "base_model.model.model.layers.0.mlp.up_proj"
    trainer.model.get_submodule(name).lora_B["default"].weight.data.fill_(float("nan"))
    found = run_postflight(trainer, before)
    assert found.parts["forgetting"].facts == {"reason": "trained gives log probabilities that are NaN or infinite"}
    assert found.parts["change"].facts["unmoved"] == ["model.layers.0.mlp.up_proj"]
    json.dumps(found.to_json(), allow_nan=False)


def test_errors_come_before_warnings():
    def finding(severity: Severity) -> Finding:
        return Finding(severity.name, severity, "s", "w", "r")

    found = PostflightReport(
        {"a": Measurement({}, "", (finding(Severity.WARNING),)), "b": Measurement({}, "", (finding(Severity.ERROR),))}
    )  # fmt: skip
    assert [one.id for one in found.findings] == ["ERROR", "WARNING"]


def test_preferences_are_examined_as_well(qwen_base, tmp_path, general_text):
    _, found = examined(dpo(dpo_recipe(tmp_path, qwen_base)), general_text)
    assert all("reason" not in part.facts for part in found.parts.values())
