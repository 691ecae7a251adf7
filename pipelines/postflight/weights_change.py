"""Weights change of full fine-tuning: the saved model against its base, tensor by tensor from their files."""

import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import PreTrainedConfig

from pipelines.errors import UserError
from pipelines.hub.pulling import local_copy
from pipelines.postflight.adapter_change import NO_MOVEMENT
from pipelines.postflight.measurement import Measurement, not_measured, rounded
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_WHAT = "weights"
_MAX_BYTES = 4 << 30  # read of a saved model: of a larger one every second, third, ... tensor
_MAX_NAMED = 100


def weights_change(folder: Path, base: Path) -> Measurement:
    """How far the model saved in `folder` is from its base, both in safetensors files."""
    with ExitStack() as opened:
        saved, before = _tensors_in(folder, opened), _tensors_in(base, opened)
        pairs = {name: found for name in saved if (found := _same_in(before, name)) is not None}
        if not pairs:
            return not_measured(_WHAT, "no tensor of the saved model has its name in the base")
        n_bytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        names = list(pairs)[:: max(1, math.ceil(n_bytes / _MAX_BYTES))]
        norms = {}
        for name in names:
            norms[name] = _change(saved[name].get_tensor(name), before[pairs[name]].get_tensor(pairs[name]))
    return _measurement(norms, len(saved))


def base_folder(config: PreTrainedConfig) -> Path | None:
    """The folder or Hub download that a model with `config` was loaded from, None if it is not on this machine."""
    name = str(config._name_or_path or "")
    try:
        return local_copy(name, config._commit_hash, weights=True).folder if name else None
    except UserError:
        return None


def _tensors_in(folder: Path, opened: ExitStack) -> dict[str, Any]:
    """The open file of each tensor of a model."""
    files = [opened.enter_context(safe_open(path, "pt")) for path in sorted(folder.glob("model*.safetensors"))]
    return {name: file for file in files for name in file.keys()}  # noqa: SIM118 - a safetensors file is no mapping


def _same_in(before: Mapping[str, Any], name: str) -> str | None:
    """What the base calls the tensor `name`: the same, or less its first part (GPT-2's files lack `transformer.`)."""
    return next((known for known in (name, name.partition(".")[2]) if known in before), None)


def _change(after: torch.Tensor, before: torch.Tensor) -> tuple[float, float]:
    """Norms of the change and of `before`, over the rows that both have; the base rounded as the model is."""
    n_rows = min(len(after), len(before)) if after.dim() else None
    after, before = (tensor if n_rows is None else tensor[:n_rows] for tensor in (after, before))
    if after.shape != before.shape:
        return math.inf, 0.0
    before = before.to(after.dtype).float()
    change = torch.linalg.vector_norm(after.float() - before)
    return float(change), float(torch.linalg.vector_norm(before))


def _measurement(norms: Mapping[str, tuple[float, float]], n_tensors: int) -> Measurement:
    known = {name: pair for name, pair in norms.items() if math.isfinite(pair[0])}
    unmoved = [name for name, (change, _) in known.items() if change < NO_MOVEMENT]
    total, size = (math.hypot(*column) for column in zip(*known.values(), strict=True)) if known else (0.0, 0.0)
    relative = rounded(total / size) if size else None
    facts = {
        "kind": "full", "norm": rounded(total), "relative": relative, "n_tensors": n_tensors, "n_compared": len(known),
        "n_unmoved": len(unmoved), "unmoved": unmoved[:_MAX_NAMED],
    }  # fmt: skip
    share = "" if relative is None else f", {relative:.2%} from the base"
    line = f"{_WHAT}: {len(known) - len(unmoved)} of {len(known)} tensors changed{share}"
    if not known or len(unmoved) < len(known):
        return Measurement(facts, line)
    finding = Finding(
        "ADAPTER_DID_NOT_MOVE",
        Severity.ERROR,
        summary=f"none of the {len(known)} compared tensors differs from the base",
        why="the saved model is the base: nothing was learned",
        remedy="set a higher `learning_rate`; instead of `dtype: bfloat16`, which rounds small steps away, set `dtype: "
        "float32`",
        evidence=tuple(Evidence(name) for name in unmoved[:MAX_EVIDENCE]),
    )
    return Measurement(facts, line, (finding,))
