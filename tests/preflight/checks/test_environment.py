"""The checks of Hub, disk, memory and packages."""

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from pipelines.hub.model_ref import ModelRef
from pipelines.preflight.check_context import CheckContext, Machine, Stage
from pipelines.preflight.checks import adapter, base_model, environment
from pipelines.preflight.forecast.machine import this_machine
from pipelines.records.finding import Finding, Severity
from tests.hub_server.server import Fault, LocalHub, ask_from_this_process
from tests.preflight.contexts import Bases, context_of, rows_of
from tests.twins.forecast_tables import parsed
from tests.twins.models import ARCHITECTURES, family_of, real_config, save_twin_tokenizer
from tests.twins.runs import RECIPES

PROJECT = Path(__file__).resolve().parents[3]
LARGE = Machine("NVIDIA H200", 150 * 2**30, True, 10**13, {})


@pytest.fixture
def qwen(bases: Bases, tmp_path: Path) -> CheckContext:
    return context_of(tmp_path, bases["qwen"], rows_of(4))


def config_alone(folder: Path, **sizes: Any) -> Path:
    """A base of Llama's sizes, or others, of which only config and tokenizer are there."""
    config = real_config("llama-3.1-8b")
    for name, value in sizes.items():
        setattr(config, name, value)
    config.save_pretrained(folder)
    return save_twin_tokenizer("llama", folder)


SEVENTY = {"num_hidden_layers": 80, "hidden_size": 8192, "intermediate_size": 28672, "num_attention_heads": 64}
FULL = {"use_peft": False, "lora_r": None, "lora_target_modules": None, "learning_rate": 1e-5}


def found(context: CheckContext) -> list[Finding]:
    return [finding for check in environment.CHECKS for finding in check(context)]


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_the_shipped_recipes_on_their_own_base_give_no_error_and_no_warning(bases, tmp_path, model):
    family = {"gpt2": "gpt2", "llama": "llama3"}.get(family_of(model), "qwen")
    context = on(context_of(tmp_path, bases[family], rows_of(50)))
    for recipe in RECIPES:
        if recipe.parents[1].name == model:
            written = parsed(recipe)
            data, training, arguments = written.arguments
            adapter_folder = getattr(data, "adapter_name_or_path", None)
            base = replace(context.base, config=real_config(model), adapter=adapter_folder)
            stage = Stage(recipe.parent.name)
            shipped = replace(
                context, stage=stage, keys=written.keys, data=data, training=training, model=arguments, base=base
            )
            checks = (*adapter.CHECKS, *base_model.CHECKS, *environment.CHECKS)
            findings = [finding for check in checks for finding in check(shipped)]
            assert [one for one in findings if one.severity is not Severity.NOTE] == [], recipe


def told(findings: list[Finding]) -> list[tuple[str, Severity]]:
    return [(finding.id, finding.severity) for finding in findings]


def on(context: CheckContext, **facts: Any) -> CheckContext:
    return replace(context, machine=replace(LARGE, **facts))


def test_a_small_recipe_on_a_large_machine_gives_no_finding(qwen):
    assert found(on(qwen)) == []


def test_a_70b_base_is_told_from_its_config_alone(tmp_path):
    base = config_alone(tmp_path / "base", **SEVENTY)
    context = context_of(tmp_path, base, rows_of(4), **FULL, save_strategy="epoch")
    findings = found(on(context, free_disk_bytes=10**12))
    assert told(findings) == [("DISK_TOO_SMALL", Severity.ERROR), ("MEMORY_TOO_SMALL", Severity.ERROR)]
    assert "282" in findings[0].summary  # 70.6 billion weights in float32
    assert "use_peft: true" in findings[1].remedy
    [small] = environment.memory_too_small(on(context, device_bytes=24 * 2**30))
    assert "shard it over several GPUs" in small.remedy


def test_checkpoints_that_do_not_fit_are_an_error_and_a_limit_mends_it(tmp_path):
    base = config_alone(tmp_path / "base")
    context = context_of(tmp_path, base, rows_of(40), **FULL, save_strategy="steps", save_steps=1, max_steps=20)
    a_checkpoint = 12 * 8.03e9
    [finding] = environment.disk_too_small(on(context, free_disk_bytes=int(6 * a_checkpoint)))
    assert (finding.id, finding.severity) == ("DISK_TOO_SMALL", Severity.ERROR)
    assert "20 checkpoints of 96.36 GB" in finding.summary
    assert finding.remedy == "set save_total_limit: 2"
    assert list(environment.disk_too_small(on(context, free_disk_bytes=int(30 * a_checkpoint)))) == []
    context.training.save_total_limit = 2
    assert list(environment.disk_too_small(on(context, free_disk_bytes=int(6 * a_checkpoint)))) == []


def test_a_disk_that_is_nearly_full_is_a_warning(tmp_path):
    base = config_alone(tmp_path / "base")
    context = context_of(tmp_path, base, rows_of(40), **FULL, save_strategy="epoch", num_train_epochs=1)
    needed = (12 + 4) * 8.03e9
    [finding] = environment.disk_too_small(on(context, free_disk_bytes=int(needed / 0.9)))
    assert finding.severity is Severity.WARNING
    assert "save_only_model: true" in finding.remedy


@pytest.mark.parametrize(
    ("keys", "n"),
    [
        ({"save_strategy": "no"}, 0), ({"save_strategy": "epoch", "num_train_epochs": 3}, 3),
        ({"save_strategy": "steps", "save_steps": 7, "max_steps": 20}, 3),
        ({"save_strategy": "steps", "save_steps": 0.1, "max_steps": 20}, 10),
        ({"save_strategy": "steps", "save_steps": 0.1, "max_steps": 20, "save_total_limit": 3}, 4),
    ],
)  # fmt: skip
def test_checkpoints_are_counted_as_the_trainer_saves_them(bases, tmp_path, keys, n):
    assert environment._n_checkpoints(context_of(tmp_path, bases["qwen"], rows_of(4), **keys)) == n


def test_an_adapter_is_saved_in_the_bytes_that_it_is_counted_with(bases, tmp_path):
    from pipelines.training.data.instruction_set import instruction_set
    from pipelines.training.data.rows import recipe_rows
    from pipelines.training.fine_tuning import load_bundle, sft_trainer

    keys = {"save_strategy": "steps", "save_steps": 1, "max_steps": 1}
    context = context_of(tmp_path, bases["gpt2"], rows_of(4), **keys)
    train, _ = recipe_rows(context.data, 0, evaluates=False)
    rows = instruction_set(train, None, context.data, context.training).tokenize(context.tokenizer)[0]
    start = ModelRef(str(context.model.model_name_or_path))
    bundle = load_bundle(start, context.model, context.training, context.tokenizer, list(context.new_tokens))
    sft_trainer(bundle, context.training, rows, None).train()
    folder = tmp_path / "run" / "checkpoint-1"
    on_disk = sum((folder / name).stat().st_size for name in ("adapter_model.safetensors", "optimizer.pt"))
    saved, checkpoint = environment._bytes_of_a_save(context)
    assert saved < (folder / "adapter_model.safetensors").stat().st_size < saved + 10_000
    assert checkpoint < on_disk < checkpoint + 60_000


def test_a_step_that_does_not_fit_is_an_error_with_the_mildest_remedy(tmp_path):
    base = config_alone(tmp_path / "base")
    full = on(context_of(tmp_path, base, rows_of(4), **FULL))
    [finding] = environment.memory_too_small(replace(full, machine=replace(LARGE, device_bytes=80 * 2**30)))
    assert (finding.id, finding.severity) == ("MEMORY_TOO_SMALL", Severity.ERROR)
    assert "use_peft: true" in finding.remedy


@pytest.mark.parametrize(
    ("budget", "fix"),
    [
        ("auto", {"activation_checkpointing": True}),
        ("131072", {"activation_checkpointing": True, "max_tokens_per_micro_batch": "auto"}),
        ("0", {"activation_checkpointing": True, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 16}),
    ],
)
def test_the_remedy_is_the_mildest_for_the_way_that_batches_are_cut(tmp_path, budget, fix):
    base = config_alone(tmp_path / "base")
    lora = context_of(
        tmp_path / "lora", base, rows_of(4), dtype="bfloat16", packing=True, max_length=8192,
        per_device_train_batch_size=8, gradient_accumulation_steps=2, attn_implementation="sdpa",
        max_tokens_per_micro_batch=budget,
    )  # fmt: skip
    [finding] = environment.memory_too_small(on(lora, device_bytes=40 * 2**30))
    assert (finding.severity, finding.fix) == (Severity.ERROR, fix)


def test_memory_on_a_cpu_is_only_ever_a_warning(tmp_path):
    context = context_of(tmp_path, config_alone(tmp_path / "base"), rows_of(4), **FULL)
    [finding] = environment.memory_too_small(on(context, accelerator=None, device_bytes=16 * 2**30))
    assert finding.severity is Severity.WARNING
    assert "weights, gradients and optimizer alone" in finding.summary


def test_a_device_of_unknown_memory_is_not_judged(tmp_path):
    context = context_of(tmp_path, config_alone(tmp_path / "base"), rows_of(4), **FULL)
    assert list(environment.memory_too_small(on(context, device_bytes=None))) == []


def test_weights_that_are_spread_over_devices_are_not_judged(tmp_path, monkeypatch):
    context = on(context_of(tmp_path, config_alone(tmp_path / "base", **SEVENTY), rows_of(4), **FULL))
    assert list(environment.memory_too_small(context))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert list(environment.memory_too_small(context)) == []


def test_the_machine_is_the_one_that_the_run_would_write_to(qwen, tmp_path):
    qwen.training.output_dir = str(tmp_path / "not" / "yet" / "there")
    machine = this_machine(qwen.training)
    assert abs(machine.free_disk_bytes - shutil.disk_usage(tmp_path).free) < 2**30
    assert machine.device_bytes is not None
    assert machine.device_bytes > 2**28
    assert {"torch", "trl", "peft"} <= machine.versions.keys()


def test_the_table_of_versions_is_that_of_the_project():
    pinned = dict(re.findall(r"^([a-z-]+)==(\S+)$", (PROJECT / "constraints.txt").read_text(), re.MULTILINE))
    required = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    lowest = dict(re.match(r"([a-z0-9-]+)>=([\d.]+)", line).groups() for line in required)  # type: ignore[union-attr]
    assert {name: (lowest[name], pinned[name]) for name in environment.VERSIONS} == environment.VERSIONS


def test_packages_older_than_allowed_are_a_warning_and_older_than_tested_a_note(qwen):
    tested = {name: version for name, (_, version) in environment.VERSIONS.items()}
    assert found(on(qwen, versions=tested)) == []
    [finding] = found(on(qwen, versions={**tested, "trl": "0.21.0", "torch": "2.11.0+cu128"}))
    assert (finding.id, finding.severity) == ("VERSION_OLDER_THAN_TESTED", Severity.WARNING)
    assert finding.summary == "trl 0.21.0 (needs 1.16)"
    [finding] = found(on(qwen, versions={**tested, "torch": "2.11.0+cu128"}))
    assert finding.severity is Severity.NOTE
    assert found(on(qwen, versions={**tested, "torch": "2.14.0.dev20261001", "trl": "not a version"})) == []


def test_no_push_asks_nobody(qwen, hub):
    assert list(environment.hub_push(qwen)) == []
    assert hub.requests == []


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    with LocalHub(tmp_path / "hub") as one:
        ask_from_this_process(one, monkeypatch)
        yield one


def answer(hub: LocalHub, status: int, **facts: Any) -> None:
    """What the Hub answers about the token."""
    hub.faults.append(Fault("GET /api/whoami-v2", status=status, body=json.dumps(facts).encode()))


def pushing(bases: Bases, folder: Path, **keys: Any) -> list[Finding]:
    context = context_of(folder, bases["qwen"], rows_of(2), push_to_hub=True, hub_token="hf_" + "secret" * 5, **keys)
    return list(environment.hub_push(context))


def test_a_token_that_may_write_gives_no_finding(bases, tmp_path, hub):
    answer(hub, 200, name="me", orgs=[], auth={"accessToken": {"role": "write"}})
    assert pushing(bases, tmp_path) == []


@pytest.mark.parametrize(
    ("status", "facts", "expected"),
    [
        (200, {"name": "me", "auth": {"accessToken": {"role": "read"}}}, ("HUB_NO_RIGHT", Severity.ERROR)),
        (401, {"error": "Invalid username or password."}, ("HUB_TOKEN_MISSING", Severity.ERROR)),
        (500, {}, ("HUB_NO_RIGHT", Severity.WARNING)),
    ],
)
def test_what_the_hub_says_becomes_a_finding_that_never_shows_the_token(bases, tmp_path, hub, status, facts, expected):
    answer(hub, status, **facts)
    [finding] = pushing(bases, tmp_path, hub_model_id="me/model")
    assert (finding.id, finding.severity) == expected
    assert "secret" not in str(finding.to_json())


def test_an_organization_of_others_is_an_error(bases, tmp_path, hub):
    answer(hub, 200, name="me", orgs=[], auth={"accessToken": {"role": "write"}})
    [finding] = pushing(bases, tmp_path, hub_model_id="others/model")
    assert (finding.id, finding.severity) == ("HUB_NO_RIGHT", Severity.ERROR)
    assert "me is not a member of others" in finding.summary


@pytest.mark.parametrize("name", ["me/my model", "me/models/mine", "me/in--struct"])
def test_a_name_that_the_hub_does_not_take_is_an_error_before_it_is_asked(bases, tmp_path, hub, name):
    [finding] = pushing(bases, tmp_path, hub_model_id=name)
    assert (finding.id, finding.severity) == ("HUB_NAME_INVALID", Severity.ERROR)
    assert name in finding.summary
    assert hub.requests == []


def test_a_push_while_offline_is_an_error(bases, tmp_path):
    [finding] = pushing(bases, tmp_path)
    assert (finding.id, finding.severity) == ("HUB_NO_RIGHT", Severity.ERROR)
    assert "HF_HUB_OFFLINE" in finding.summary


def test_a_push_without_a_token_is_an_error(bases, tmp_path, hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    context = context_of(tmp_path, bases["qwen"], rows_of(2), push_to_hub=True)
    assert told(list(environment.hub_push(context))) == [("HUB_TOKEN_MISSING", Severity.ERROR)]
    assert hub.requests == []
