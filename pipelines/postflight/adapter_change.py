"""Adapter change: the norm of what the adapter adds to each module, and the modules that did not change."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file

from pipelines.postflight.adapter_places import Kind, Place, Start, adapter_places
from pipelines.postflight.measurement import Measurement, not_measured, rounded
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

NO_MOVEMENT = 1e-12  # below any step that a float32 weight can take
_WHAT = "adapter"
_FILE = "adapter_model.safetensors"
_LORA_NAMES = ((".lora_A.weight", ".lora_B.weight"), (".lora_embedding_A", ".lora_embedding_B"))


@dataclass(frozen=True)
class Movement:
    """Frobenius norms of the change (`scaling * B @ A` of a new adapter), of the base's weights, and of the change of
    DoRA's magnitudes; None if unknown."""

    norm: float
    base: float | None = None
    magnitude: float | None = None

    @property
    def relative(self) -> float | None:
        """The change as a share of the base's weights."""
        return self.norm / self.base if self.base else None

    @property
    def is_none(self) -> bool:
        """Whether nothing changed, or the change is not finite."""
        norms = [self.norm, *([] if self.magnitude is None else [self.magnitude])]
        return not all(map(math.isfinite, norms)) or max(norms) < NO_MOVEMENT


def adapter_change(model: PeftModel, start: Start | None = None) -> Measurement:
    """Measure every module of the active adapter.

    `start` is `adapter_start` of the model before the run. Without it the adapter counts as new.
    """
    start = start or {}
    moved = [(place, movement_of(place, start)) for place in adapter_places(model)]
    return _measurement(moved, is_new=not any(place.key("B") in start for place, _ in moved))


def saved_adapter_change(folder: Path) -> Measurement:
    """Measure a new adapter from its file, for a model that is sharded over devices: its matrices alone."""
    if not (folder / _FILE).is_file():
        return not_measured(_WHAT, f"there is no {_FILE}")
    return _measurement([(place, movement_of(place, {})) for place in _saved_places(folder)], is_new=True)


def _saved_places(folder: Path) -> Iterator[Place]:
    config = LoraConfig.from_pretrained(str(folder))
    tensors = load_file(folder / _FILE)
    for name, a in tensors.items():
        for end_of_a, end_of_b in _LORA_NAMES:
            if name.endswith(end_of_a):
                module = name.removesuffix(end_of_a)
                rank = a.shape[0]
                scaling = config.lora_alpha / (math.sqrt(rank) if config.use_rslora else rank)
                matrices = {"A": a, "B": tensors[module + end_of_b]}
                yield Place(module.removeprefix("base_model.model."), Kind.LORA, matrices, {}, scaling)


def _measurement(moved: Sequence[tuple[Place, Movement]], *, is_new: bool) -> Measurement:
    if not moved:
        return not_measured(_WHAT, "it has no matrices, token rows or whole modules")
    lora = {place.name: movement for place, movement in moved if place.kind is Kind.LORA}
    others = {f"{place.name} ({place.kind.value})": one for place, one in moved if place.kind is not Kind.LORA}
    unmoved = [name for name, movement in (lora | others).items() if movement.is_none]
    facts: dict[str, Any] = {
        "kind": "adapter", "is_new": is_new, "n_modules": len(moved), "n_unmoved": len(unmoved), "unmoved": unmoved
    }  # fmt: skip
    if lora:
        facts |= {**_total(lora), **_ends(lora)}
        facts["modules"] = {name: _figures(movement) for name, movement in lora.items()}
    if others:
        facts["others"] = {name: _figures(movement) for name, movement in others.items()}
    return Measurement(facts, _line(facts), tuple(_findings(facts)))


def _total(moved: Mapping[str, Movement]) -> dict[str, float | None]:
    """The norm over all modules, and its share of the base's weights if all of these are known."""
    norm = math.hypot(*(one.norm for one in moved.values()))
    bases = [one.base for one in moved.values() if one.base is not None]
    base = math.hypot(*bases) if len(bases) == len(moved) else None
    return {"norm": _json(norm), "relative": _json(norm / base) if base else None}


def _ends(moved: Mapping[str, Movement]) -> dict[str, dict[str, Any]]:
    """The modules with the smallest and the largest norm."""
    ranked = sorted(moved, key=lambda name: moved[name].norm)
    ends = {"smallest": ranked[0], "largest": ranked[-1]}
    return {which: {"module": name, **_figures(moved[name])} for which, name in ends.items()}


def _figures(movement: Movement) -> dict[str, float | None]:
    found = {"norm": _json(movement.norm), "relative": _json(movement.relative)}
    return found if movement.magnitude is None else {**found, "magnitude_change": _json(movement.magnitude)}


def _json(value: float | None) -> float | None:
    return rounded(value) if value is not None and math.isfinite(value) else None


def _line(facts: Mapping[str, Any]) -> str:
    n, n_unmoved = facts["n_modules"], facts["n_unmoved"]
    line = f"{_WHAT}: {n - n_unmoved} of {n} modules changed"
    if facts.get("norm") is not None:
        line += f", norm of {'B A' if facts['is_new'] else 'the change of B A'} {facts['norm']:.3g}"
    if facts.get("relative") is not None:
        line += f" ({facts['relative']:.2%} of the base's weights there)"
    return line


def _findings(facts: Mapping[str, Any]) -> Iterator[Finding]:
    unmoved, n = facts["unmoved"], facts["n_modules"]
    if not unmoved:
        return
    is_whole = len(unmoved) == n
    yield Finding(
        "ADAPTER_DID_NOT_MOVE",
        Severity.ERROR if is_whole else Severity.WARNING,
        summary=f"{len(unmoved)} of {n} modules of the adapter did not change",
        why="modules whose product B A did not change learned nothing",
        remedy="set a higher `learning_rate` and train for more steps (`num_train_epochs`, `max_steps`)"
        if is_whole
        else "remove these modules from `lora_target_modules`, or check why they get no gradient",
        evidence=tuple(Evidence(f"{name}: a norm below {NO_MOVEMENT:g}") for name in unmoved[:MAX_EVIDENCE]),
    )


def movement_of(place: Place, start: Start) -> Movement:
    """The change of `place` since `start`."""
    if place.kind is Kind.LORA:
        base = place.originals.get("weight")
        return Movement(_lora_change(place, start), None if base is None else _norm(base), _magnitude(place, start))
    changes, sizes = [], []
    for name, weight in place.weights.items():
        before = start.get(place.key(name), place.originals[name])
        changes.append(_norm(weight.to(before.device).float() - before.float()))
        sizes.append(_norm(before))
    return Movement(math.hypot(*changes), math.hypot(*sizes))


def product_norm(left: torch.Tensor, right: torch.Tensor) -> float:
    """Frobenius norm of `left @ right` (shapes [..., out, k] and [..., k, in]), by two matrices of k x k:
    ||L R||^2 = trace(R^T L^T L R) = sum of (L^T L) * (R R^T)."""
    gram = (left.mT @ left) * (right @ right.mT)
    return math.sqrt(max(0.0, float(gram.sum())))  # of a product of zero, rounding may leave less than zero


def _lora_change(place: Place, start: Start) -> float:
    """Norm of `scaling * (B1 A1 - B0 A0)`, as (B1 - B0) A1 + B0 (A1 - A0), whose parts are as small as the change."""
    a, b = _factors(place, place.weights["A"], place.weights["B"])
    if place.key("B") not in start:
        return abs(place.scaling) * product_norm(b, a)
    a_before, b_before = _factors(place, start[place.key("A")], start[place.key("B")])
    left, right = torch.cat([b - b_before, b_before], dim=-1), torch.cat([a, a - a_before], dim=-2)
    return abs(place.scaling) * product_norm(left, right)


def _factors(place: Place, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A [experts, rank, in] and B [experts, out, rank] in float64, on the processor: some accelerators have none."""
    a, b = (weight.cpu().double().flatten(1) for weight in (a, b))
    rank_last = b.reshape(b.shape[0], -1, place.n_experts)  # as PEFT lays out B over experts
    return a.reshape(place.n_experts, -1, a.shape[-1]), rank_last.permute(2, 0, 1)


def _magnitude(place: Place, start: Start) -> float | None:
    before = start.get(place.key("magnitude"))
    if before is None:
        return None
    return _norm(place.weights["magnitude"].cpu().double() - before.double())


def _norm(weight: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(weight, dtype=torch.promote_types(weight.dtype, torch.float32)))
