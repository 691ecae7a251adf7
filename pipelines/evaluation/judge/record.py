"""Judgements -> `judge` in comparison.json."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipelines.evaluation.judge.endpoint import TEMPERATURE, JudgeEndpoint
from pipelines.evaluation.judge.judge_prompt import TEMPLATE_SHA256
from pipelines.evaluation.judge.judgements import Judgement, Verdict
from pipelines.evaluation.statistics.intervals import Estimate, bootstrap_mean, share
from pipelines.evaluation.statistics.row_groups import Groups

_POINTS = {Verdict.WIN: 1.0, Verdict.TIE: 0.5, Verdict.LOSS: 0.0}


def judge_record(
    judgements: Mapping[str, Sequence[Judgement]], endpoint: JudgeEndpoint, groups: Groups | None = None
) -> dict[str, Any]:
    """`judge` in comparison.json: who judged, and for each instruct model what came out over all its pairs.

    `groups` has a label for each pair: pairs of one label are resampled together.
    """
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
    pairs = list(zip(judged, labels, strict=True))
    verdicts = [one.verdict for one in judged if one.verdict is not None]
    agreements = [(one.agrees_with_itself, group) for one, group in pairs if one.agrees_with_itself is not None]
    points = [_POINTS[verdict] for verdict in verdicts]
    decided = [group for one, group in pairs if one.verdict is not None]
    return {
        "n": len(judged),
        "n_errors": len(judged) - len(verdicts),
        "n_wins": verdicts.count(Verdict.WIN),
        "n_ties": verdicts.count(Verdict.TIE),
        "n_losses": verdicts.count(Verdict.LOSS),
        "n_identical": sum(not one.was_asked for one in judged),
        "win_share": _json(_win_share(points, decided)),
        "agreement_with_itself": _json(
            share([agrees for agrees, _ in agreements], [group for _, group in agreements]) if agreements else None
        ),
    }


def _win_share(points: Sequence[float], groups: Groups) -> Estimate | None:
    """Mean of the points. Where all are alike a bootstrap has no width, so Wilson's interval stands for it."""
    if not points:
        return None
    if set(points) <= {0.0, 1.0}:
        return share(points, groups)
    if set(points) == {0.5}:  # the share that is not tied could be as large as this, and all wins, or all losses
        ties = share([True] * len(points), groups)
        half_width = (1 - ties.ci95[0]) / 2
        return replace(ties, value=0.5, ci95=(0.5 - half_width, 0.5 + half_width))
    return bootstrap_mean(points, groups=groups)


def _json(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_json()
