"""Postflight: what the run did to the model, measured before and after it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, Trainer

from pipelines.errors import AnswerIsNo, UserError
from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood
from pipelines.postflight.adapter_change import adapter_change, saved_adapter_change
from pipelines.postflight.adapter_places import adapter_start
from pipelines.postflight.forgetting import GeneralText, forgetting, general_likelihoods, no_general_text
from pipelines.postflight.learned_to_stop import EndsBefore, ends_before, learned_to_stop
from pipelines.postflight.loss_gap import loss_gap
from pipelines.postflight.measurement import Measurement, not_measured
from pipelines.postflight.weights_change import base_folder, weights_change
from pipelines.records.finding import Finding, Severity

T = TypeVar("T")
_SHARDED = "the weights are sharded over several devices (FSDP, DeepSpeed)"


@dataclass(frozen=True)
class Baseline:
    """Measurements before training; empty on ranks that do not write."""

    adapter: Mapping[str, torch.Tensor] = field(default_factory=dict)
    ends: EndsBefore | None = None
    general: GeneralText | None = None
    likelihoods: Sequence[DocumentLikelihood] | str = "it was not measured before the run"  # or why there are none


@dataclass(frozen=True)
class PostflightReport:
    """The results by their names in run.json."""

    parts: Mapping[str, Measurement]

    @property
    def findings(self) -> list[Finding]:
        """All findings, worst first."""
        found = [finding for part in self.parts.values() for finding in part.findings]
        return sorted(found, key=lambda finding: list(Severity).index(finding.severity))

    def to_json(self) -> dict[str, Any]:
        """What run.json keeps under `run_postflight`."""
        severities = [finding.severity for finding in self.findings]
        return {
            "kind": "after_run",
            "n_errors": severities.count(Severity.ERROR),
            "n_warnings": severities.count(Severity.WARNING),
            **{name: dict(part.facts) for name, part in self.parts.items()},
            "findings": [finding.to_json() for finding in self.findings],
        }

    def stop_at_errors(self, folder: Path) -> None:
        """Raise `AnswerIsNo` for findings of severity error; the run in `folder` is kept."""
        errors = [finding for finding in self.findings if finding.severity is Severity.ERROR]
        if errors:
            found = "; ".join(f"{finding.id} ({finding.summary})" for finding in errors)
            raise AnswerIsNo(f"the run finished, but the model did not learn: {found}; it is kept in {folder}")

    def lines(self) -> list[str]:
        """One line for each result and each finding."""
        findings = [f"{one.severity.value} {one.id}: {one.summary}; {one.remedy}" for one in self.findings]
        return [*(part.line for part in self.parts.values()), *findings]


def measure_baseline(trainer: Trainer, general: GeneralText | None = None) -> Baseline:
    """Measure the model before training. Every rank calls it, rank 0 measures.

    Changes neither the weights nor the random state.
    """
    if not trainer.is_world_process_zero() or _is_sharded(trainer):
        return Baseline(general=general, likelihoods=_SHARDED)
    model = _model(trainer)
    likelihoods: Sequence[DocumentLikelihood] | str = []
    if general is not None:
        likelihoods = _or_reason(lambda: general_likelihoods(trainer, general, _tokenizer(trainer)))
    ends = _or_reason(lambda: ends_before(trainer))
    return Baseline(
        adapter=adapter_start(model) if isinstance(model, PeftModel) else {},
        ends=None if isinstance(ends, str) else ends,
        general=general,
        likelihoods=likelihoods,
    )


def run_postflight(trainer: Trainer, before: Baseline | None = None) -> PostflightReport:
    """Measure the model after it was trained and saved. Rank 0 measures, other ranks get no results.

    A result that cannot be measured has the reason.
    """
    if not trainer.is_world_process_zero():
        return PostflightReport({})
    before = before or Baseline()
    return PostflightReport(
        {
            "change": _change(trainer, before),
            "learned_to_stop": learned_to_stop(trainer, before.ends),
            "forgetting": _forgetting(trainer, before),
            "loss": loss_gap(trainer.state.log_history, trainer.args),
        }
    )


def _change(trainer: Trainer, before: Baseline) -> Measurement:
    model, folder = _model(trainer), Path(str(trainer.args.output_dir))
    if isinstance(model, PeftModel):
        if not _is_sharded(trainer):
            return adapter_change(model, before.adapter)
        if len(model.peft_config) > 1:  # the frozen copy of the adapter that a preference tuning began with
            return not_measured("adapter", f"{_SHARDED}, and the run continued an adapter")
        return saved_adapter_change(folder)
    base = base_folder(model.config)
    if base is None or not any(base.glob("model*.safetensors")):
        return not_measured("weights", "the base's safetensors files are not on this machine")
    if not any(folder.glob("model*.safetensors")):
        return not_measured("weights", "the model was not saved in safetensors files")
    return weights_change(folder, base)


def _forgetting(trainer: Trainer, before: Baseline) -> Measurement:
    general, earlier = before.general, before.likelihoods
    if general is None:
        return no_general_text()
    if isinstance(earlier, str):
        return no_general_text(earlier)
    now = _or_reason(lambda: general_likelihoods(trainer, general, _tokenizer(trainer)))
    return no_general_text(now) if isinstance(now, str) else forgetting(general, earlier, now)


def _or_reason(measure: Callable[[], T]) -> T | str:
    """The result of `measure`, or the reason why it fails: a model with NaN, or too little memory."""
    try:
        return measure()
    except UserError as error:
        return error.problem
    except torch.OutOfMemoryError:
        return "there was too little memory on the device"


def _is_sharded(trainer: Trainer) -> bool:
    return bool(trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled or trainer.get_tp_size() > 1)


def _model(trainer: Trainer) -> Any:
    return trainer.accelerator.unwrap_model(trainer.model)


def _tokenizer(trainer: Trainer) -> PreTrainedTokenizerBase:
    return cast(PreTrainedTokenizerBase, trainer.processing_class)
