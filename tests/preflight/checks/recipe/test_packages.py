"""Packages and devices that the recipe needs and this machine lacks."""

import importlib.util
from dataclasses import replace
from functools import partial

import pytest

from pipelines.preflight.checks.recipe.packages import CHECKS
from pipelines.records.finding import Severity
from tests.preflight.contexts import context_of, findings_by_id, rows_of

found = partial(findings_by_id, CHECKS)


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is not None, reason=f"{package} is installed")


@pytest.mark.parametrize("keys", [
    pytest.param({"attn_implementation": "flash_attention_2"}, marks=needs("flash_attn")),
    pytest.param({"model_init_kwargs": {"attn_implementation": "flash_attention_3"}}, marks=needs("flash_attn_3")),
    pytest.param({"attn_implementation": "kernels-community/flash-attn2"}, marks=needs("kernels")),
    pytest.param({"optim": "galore_adamw", "optim_target_modules": "all-linear"}, marks=needs("galore_torch")),
    pytest.param({"optim": "apollo_adamw", "optim_target_modules": "all-linear"}, marks=needs("apollo_torch")),
    pytest.param({"optim": "adamw_torch_8bit"}, marks=needs("torchao")),
    pytest.param({"optim": "schedule_free_adamw"}, marks=needs("schedulefree")),
    pytest.param({"optim": "adamw_torch_npu_fused"}, marks=needs("torch_npu")),
    pytest.param({"use_liger_kernel": True}, marks=needs("liger_kernel")),
    pytest.param({"report_to": ["trackio", "wandb"]}, marks=needs("wandb")),
])  # fmt: skip
def test_a_package_that_is_not_installed_is_an_error(qwen, tmp_path, keys):
    finding = found(context_of(tmp_path, qwen, rows_of(4), **keys))["PACKAGE_MISSING"]
    assert finding.severity is Severity.ERROR
    assert finding.remedy
    assert next(iter(keys.values())) is True or "cannot run" in finding.summary


@pytest.mark.parametrize(
    "keys", [{}, {"attn_implementation": "eager"}, {"optim": "paged_adamw_8bit"}, {"report_to": "trackio"}]
)
def test_what_is_installed_is_left_alone(qwen, tmp_path, keys):
    assert not found(context_of(tmp_path, qwen, rows_of(4), **keys))


def test_flex_attention_needs_an_accelerator(qwen, tmp_path):
    context = context_of(tmp_path, qwen, rows_of(4), attn_implementation="flex_attention")
    here, gpu = (replace(context, machine=replace(context.machine, accelerator=one)) for one in (None, "NVIDIA L4"))
    assert "CPU" in found(here)["PACKAGE_MISSING"].evidence[0].text
    assert not found(gpu)
