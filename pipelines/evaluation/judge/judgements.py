"""Judgements of pairs of answers, and `judge` in comparison.json, which counts them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pipelines.endpoint.client import Endpoint
from pipelines.evaluation.judge.judge_prompt import TEMPLATE_SHA256
from pipelines.evaluation.statistics.intervals import Estimate, bootstrap_mean
from pipelines.evaluation.statistics.row_groups import Groups
from pipelines.evaluation.statistics.shares import share

TEMPERATURE = 0.0


class Winner(StrEnum):
    """The model that a reply prefers."""

    BASE = "base"
    INSTRUCT = "instruct"
    TIE = "tie"


class Verdict(StrEnum):
    """The result of a pair for the instruct model."""

    WIN = "win"
    TIE = "tie"
    LOSS = "loss"


_POINTS = {Verdict.WIN: 1.0, Verdict.TIE: 0.5, Verdict.LOSS: 0.0}


@dataclass(frozen=True)
class Judgement:
    """The replies to both orders of one pair, None for a missing or unreadable reply. `was_asked` is false if both
    answers are the same text: a tie without a call."""

    base_first: Winner | None
    instruct_first: Winner | None
    reason: str = ""
    error: str | None = None
    was_asked: bool = True

    @property
    def verdict(self) -> Verdict | None:
        """A win or loss only if both orders agree, else a tie: a judge that prefers a position shows no difference."""
        if self.base_first is None or self.instruct_first is None:
            return None
        if self.base_first is not self.instruct_first or self.base_first is Winner.TIE:
            return Verdict.TIE
        return Verdict.WIN if self.base_first is Winner.INSTRUCT else Verdict.LOSS

    @property
    def agrees_with_itself(self) -> bool | None:
        """Whether both orders have the same winner; None without two replies."""
        return self.base_first is self.instruct_first if self.was_asked and self.verdict is not None else None

    def to_json(self) -> dict[str, Any]:
        """Return `judgements[name]` of responses.jsonl."""
        found = {
            "base_first": self.base_first,
            "instruct_first": self.instruct_first,
            "verdict": self.verdict,
            "reason": self.reason,
        }
        return {**found, "error": self.error} if self.error else found


def judge_record(
    judgements: Mapping[str, Sequence[Judgement]], endpoint: Endpoint, groups: Groups | None = None
) -> dict[str, Any]:
    """Return `judge` of comparison.json: the judge, and the counts and shares of each instruct model. `groups` has a
    label for each pair: pairs with the same label are resampled together."""
    everything = [one for judged in judgements.values() for one in judged]
    return {
        "model": endpoint.model,
        "url_host": endpoint.host,
        "temperature": TEMPERATURE,
        "template_sha256": TEMPLATE_SHA256,
        "n": len(everything),
        "n_errors": sum(one.verdict is None for one in everything),
        "models": {name: _of_one_model(judged, groups) for name, judged in judgements.items()},
    }


def _of_one_model(judged: Sequence[Judgement], groups: Groups | None) -> dict[str, Any]:
    labels = range(len(judged)) if groups is None else groups
    decided = [(one, one.verdict, group) for one, group in zip(judged, labels, strict=True) if one.verdict is not None]
    verdicts = [verdict for _, verdict, _ in decided]
    win_share = _win_share([_POINTS[one] for one in verdicts], [group for *_, group in decided])
    asked = [(one, group) for one, _, group in decided if one.was_asked]
    agreement = (
        share([bool(one.agrees_with_itself) for one, _ in asked], [group for _, group in asked]) if asked else None
    )
    return {
        "n": len(judged),
        "n_errors": len(judged) - len(verdicts),
        "n_wins": verdicts.count(Verdict.WIN),
        "n_ties": verdicts.count(Verdict.TIE),
        "n_losses": verdicts.count(Verdict.LOSS),
        "n_identical": sum(not one.was_asked for one in judged),
        "win_share": win_share and win_share.to_json(),
        "agreement_with_itself": agreement and agreement.to_json(),
    }


def _win_share(points: Sequence[float], groups: Groups) -> Estimate | None:
    """Return the mean of the points. If all are equal a bootstrap interval has no width: then Wilson's is used."""
    if not points:
        return None
    if set(points) <= {0.0, 1.0}:
        return share(points, groups)
    if set(points) == {0.5}:  # the share of pairs without a tie could be this large, and all of them wins, or losses
        ties = share([True] * len(points), groups)
        half_width = (1 - ties.ci95[0]) / 2
        return replace(ties, value=0.5, ci95=(0.5 - half_width, 0.5 + half_width))
    return bootstrap_mean(points, groups=groups)
