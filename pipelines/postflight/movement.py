"""How far an adapter's place moved: the norm of what it adds to the base, without forming that matrix."""

import math
from dataclasses import dataclass

import torch

from pipelines.postflight.adapter_places import Kind, Place, Start

NO_MOVEMENT = 1e-12  # below any step that a float32 weight can take


@dataclass(frozen=True)
class Movement:
    """Frobenius norms. `norm` is that of the change (`scaling * B @ A` of a new adapter), `base` that of the base's own
    weights there, and `magnitude` that of the change of DoRA's magnitudes; None where it is not known."""

    norm: float
    base: float | None = None
    magnitude: float | None = None

    @property
    def relative(self) -> float | None:
        """The change as a share of the base's weights."""
        return self.norm / self.base if self.base else None

    @property
    def is_none(self) -> bool:
        """Whether nothing moved, or what moved is no number."""
        norms = [self.norm, *([] if self.magnitude is None else [self.magnitude])]
        return not all(map(math.isfinite, norms)) or max(norms) < NO_MOVEMENT


def movement_of(place: Place, start: Start) -> Movement:
    """The movement of `place` since `start`."""
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
