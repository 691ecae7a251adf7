"""Whether an adapter moved: the norm of what it adds to each module, and the modules to which it adds nothing."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel
from safetensors.torch import load_file

from pipelines.postflight.adapter_places import Kind, Place, Start, adapter_places
from pipelines.postflight.movement import NO_MOVEMENT, Movement, movement_of
from pipelines.postflight.part import Measurement, not_measured, rounded
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_WHAT = "adapter"
_FILE = "adapter_model.safetensors"
_LORA_NAMES = ((".lora_A.weight", ".lora_B.weight"), (".lora_embedding_A", ".lora_embedding_B"))


def adapter_change(model: PeftModel, start: Start | None = None) -> Measurement:
    """The movement of every place of the active adapter.

    `start` is `adapter_start` of the model before the run. Without it an adapter counts as new, and the norms of one
    that was trained before are those of the whole adapter.
    """
    start = start or {}
    moved = [(place, movement_of(place, start)) for place in adapter_places(model)]
    return _measurement(moved, is_new=not any(place.key("B") in start for place, _ in moved))


def saved_adapter_change(folder: Path) -> Measurement:
    """The same of a new adapter as it was saved: for a model whose weights lie in shards on several devices.

    Only matrices are looked at, and not against the base.
    """
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
    """All matrices as one: the norm, and its share of the base's weights where all of these are known."""
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
        why="where the product B·A is zero the model is unchanged: nothing was learned there",
        remedy="set a higher `learning_rate` and train for more steps (`num_train_epochs`, `max_steps`)"
        if is_whole
        else "leave these modules out of `lora_target_modules`, or check why no gradient reaches them",
        evidence=tuple(Evidence(f"{name}: a norm below {NO_MOVEMENT:g}") for name in unmoved[:MAX_EVIDENCE]),
    )
