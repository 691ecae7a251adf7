"""Check of optional packages that the recipe needs: attention, optimizer, kernels, quantization, trackers."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Trainer
from transformers.integrations import get_available_reporting_integrations
from transformers.utils import is_bitsandbytes_available, is_liger_kernel_available

from pipelines.preflight.check_context import CheckContext
from pipelines.preflight.checks.evidence import Check
from pipelines.records.finding import Evidence, Finding, Severity

_OF_TORCH = ("eager", "sdpa", "flex_attention")
_PLAIN_OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop")


def package_missing(context: CheckContext) -> Iterator[Finding]:
    """PACKAGE_MISSING: what the recipe names is not installed, or does not run on this device."""
    for setting, message, remedy in (
        *_attention(context), *_optimizer(context), *_kernels(context), *_quantization(context), *_trackers(context),
    ):  # fmt: skip
        yield Finding(
            "PACKAGE_MISSING",
            Severity.ERROR,
            summary=f"{setting} cannot run on this machine",
            why="the run stops before or in its first step",
            remedy=remedy,
            evidence=(Evidence(" ".join(message.split())[:300]),),
        )


Problem = tuple[str, str, str]  # the setting, the library's message, the remedy


def _attention(context: CheckContext) -> Iterator[Problem]:
    options: Any = getattr(context.training, "model_init_kwargs", None) or {}
    name = options.get("attn_implementation", context.model.attn_implementation)
    setting, remedy = f"attn_implementation: {name}", "set attn_implementation: sdpa"
    if name == "flex_attention" and context.machine.accelerator is None:
        yield setting, "FlexAttention has no backward pass on CPUs", remedy
    if name is None or name in _OF_TORCH:
        return
    try:
        with torch.device("meta"):
            AutoModelForCausalLM.from_config(copy.deepcopy(context.base.config), attn_implementation=name)
    except (ImportError, ValueError, OSError) as error:
        yield setting, str(error), remedy


def _optimizer(context: CheckContext) -> Iterator[Problem]:
    name = str(getattr(context.training.optim, "value", context.training.optim))
    if name in _PLAIN_OPTIMIZERS:
        return
    try:
        Trainer.get_optimizer_cls_and_kwargs(context.training, context.base.skeleton)
    except (ImportError, ValueError) as error:  # transformers raises either for a package
        yield f"optim: {name}", str(error), "set optim: adamw_torch_fused"


def _kernels(context: CheckContext) -> Iterator[Problem]:
    if context.training.use_liger_kernel and not is_liger_kernel_available():
        yield "use_liger_kernel: true", "liger-kernel is not installed", "set use_liger_kernel: false"


def _quantization(context: CheckContext) -> Iterator[Problem]:
    key = "load_in_4bit" if context.model.load_in_4bit else "load_in_8bit"
    if getattr(context.model, key) and not is_bitsandbytes_available():
        yield f"{key}: true", "bitsandbytes is not installed", f"pip install bitsandbytes, or set {key}: false"


def _trackers(context: CheckContext) -> Iterator[Problem]:
    wanted = [name for name in context.training.report_to or [] if name != "kubeflow"]
    if wanted and (missing := [name for name in wanted if name not in get_available_reporting_integrations()]):
        left = f"[{', '.join(one for one in wanted if one not in missing)}]"
        yield f"report_to: {', '.join(missing)}", "the package is not installed", f"set report_to: {left}"


CHECKS: tuple[Check, ...] = (package_missing,)
