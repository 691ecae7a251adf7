"""Compare a second run with its lock: weights bit by bit, the loss step by step, the metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pipelines.errors import UserError
from pipelines.reproduction.differences import Difference, inputs_among

# durations differ in each run
_TIMES = ("_runtime", "_per_second")


class Verdict(StrEnum):
    """BIT_IDENTICAL: the same weights and losses. WITHIN_TOLERANCE: other machine or versions, losses within the
    tolerance. DIFFERS: anything else."""

    BIT_IDENTICAL = "bit-identical"
    WITHIN_TOLERANCE = "within tolerance"
    DIFFERS = "differs"


@dataclass(frozen=True)
class LossDifference:
    """Two loss curves: steps logged in both, steps logged in one, the largest difference in nats."""

    n_steps: int
    n_unpaired: int
    largest: float
    at_step: int | None
    mean_locked: float

    @property
    def share(self) -> float:
        """Return the largest difference as a share of the locked curve's mean."""
        return self.largest / abs(self.mean_locked) if self.mean_locked else float(self.largest > 0)

    def line(self) -> str:
        """Return the comparison in one line."""
        alone = f", {self.n_unpaired} steps logged in only one of the runs" if self.n_unpaired else ""
        if self.at_step is None:
            return f"loss curve: equal at {self.n_steps} logged steps{alone}"
        how_far = f"{self.largest:.3g} nats at step {self.at_step}, {self.share:.3%} of the mean"
        return f"loss curve: largest difference {how_far}, over {self.n_steps} logged steps{alone}"


@dataclass(frozen=True)
class Outcome:
    """A reproduction: the differences before the run, and those of the result."""

    differences: tuple[Difference, ...]
    weights_sha256: tuple[str | None, str | None]
    loss: LossDifference
    metrics: dict[str, tuple[Any, Any]]
    tolerance: float

    @property
    def verdict(self) -> Verdict:
        """Return the verdict. The tolerance is for another machine, code or versions: with other inputs, or with no
        difference, only identical bits count."""
        loss, weights = self.loss, self.weights_sha256
        has_same_steps = loss.n_steps > 0 and loss.n_unpaired == 0
        if weights[0] == weights[1] and has_same_steps and loss.largest == 0:
            return Verdict.BIT_IDENTICAL
        if self._has_tolerance and has_same_steps and loss.share <= self.tolerance:
            return Verdict.WITHIN_TOLERANCE
        return Verdict.DIFFERS

    def to_json(self) -> dict[str, Any]:
        """Return the record reproduction.json."""
        locked, here = self.weights_sha256
        return {
            "kind": "reproduction",
            "verdict": self.verdict.value,
            "differences": [one.to_json() for one in self.differences],
            "weights_sha256": {"locked": locked, "here": here},
            "loss": {**asdict(self.loss), "share_of_mean": self.loss.share, "tolerance": self.tolerance},
            "metrics": {name: {"locked": was, "here": now} for name, (was, now) in self.metrics.items()},
        }

    def lines(self) -> list[str]:
        """Return the outcome for a terminal; the verdict last."""
        metrics = [f"{name}: {was} in the lock, {now} here" for name, (was, now) in self.metrics.items()]
        return [self._weights_line(), self.loss.line(), *metrics, self.verdict.value]

    def why_not(self) -> str:
        """Return what differs, in one line."""
        bound = f"; the tolerance is {self.tolerance:.1%} of the mean" if self._has_tolerance else ""
        return f"not reproduced with {self._circumstances}: {self._weights_line()}; {self.loss.line()}{bound}"

    @property
    def _has_tolerance(self) -> bool:
        return bool(self.differences) and not inputs_among(self.differences)

    @property
    def _circumstances(self) -> str:
        if inputs_among(self.differences):
            return "other inputs"
        return "other versions, code or machine" if self.differences else "the same versions, code and machine"

    def _weights_line(self) -> str:
        locked, here = self.weights_sha256
        return f"weights: {locked}, as locked" if locked == here else f"weights: {locked} in the lock, {here} here"


def outcome(
    locked: Mapping[str, Any], here: Mapping[str, Any], found: Sequence[Difference], tolerance: float
) -> Outcome:
    """Compare the `result`s of two locks; `tolerance` is a share of the locked curve's mean loss."""
    metrics = [_flat(one["metrics"]) for one in (locked, here)]
    names = dict.fromkeys([*metrics[0], *metrics[1]])
    return Outcome(
        differences=tuple(found),
        weights_sha256=(locked["weights_sha256"], here["weights_sha256"]),
        loss=loss_difference(locked["loss_curve"], here["loss_curve"]),
        metrics={
            name: (metrics[0].get(name), metrics[1].get(name))
            for name in names
            if metrics[0].get(name) != metrics[1].get(name) and not name.endswith(_TIMES)
        },
        tolerance=tolerance,
    )


def refuse_unfinished(lock: Mapping[str, Any]) -> None:
    """Raise `UserError` if the locked run has not finished."""
    if lock["result"] is None:
        raise UserError("the locked run is unfinished and has no result", "finish that run with --resume")


def loss_difference(locked: Sequence[Sequence[float]], here: Sequence[Sequence[float]]) -> LossDifference:
    """Compare curves of [step, loss] at the steps that both have."""
    one, other = ({int(step): loss for step, loss in curve} for curve in (locked, here))
    gaps = {step: abs(one[step] - other[step]) for step in one if step in other}
    at_step = max(gaps, key=lambda step: gaps[step], default=None)
    return LossDifference(
        n_steps=len(gaps),
        n_unpaired=len(one.keys() ^ other.keys()),
        largest=gaps[at_step] if at_step is not None else 0.0,
        at_step=at_step if at_step is not None and gaps[at_step] > 0 else None,
        mean_locked=sum(one.values()) / len(one) if one else 0.0,
    )


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in metrics.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found
