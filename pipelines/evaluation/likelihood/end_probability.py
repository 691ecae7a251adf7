"""Has the model learned to stop: how probable it finds an end where the reference answers end, and inside them."""

from collections.abc import Mapping, Sequence

from pipelines.evaluation.likelihood.reference_scores import ReferenceScores
from pipelines.evaluation.statistics.metric_definition import Group, MetricDefinition
from pipelines.evaluation.statistics.metric_table import MetricTable

P_END = MetricDefinition(
    "p_end",
    "P(end) where the reference ends",
    "share",
    "higher",
    "probability of the model's end tokens together, behind the whole reference answer",
    Group.STOPPING,
)
P_END_INSIDE = MetricDefinition(
    "p_end_inside",
    "P(end) inside the reference",
    "share",
    "neither",
    "probability of the model's end tokens together where the reference answer goes on, mean over all those places; a "
    "model that never ends is at 0, so read it beside P(end) where the reference ends",
    Group.STOPPING,
)


def ending_series(scores: Mapping[str, Sequence[ReferenceScores | None]]) -> list[MetricTable]:
    """P(end) at the end of each reference answer, and over the places before its tokens; the first token's included."""
    ends = {name: [one if one is None else one.p_end for one in found] for name, found in scores.items()}
    return [
        MetricTable.of_values(
            P_END, {name: [None if p is None else float(p[-1]) for p in found] for name, found in ends.items()}
        ),
        MetricTable.of_ratios(
            P_END_INSIDE,
            {name: [None if p is None else float(p[:-1].sum()) for p in found] for name, found in ends.items()},
            {name: [None if p is None else len(p) - 1 for p in found] for name, found in ends.items()},
        ),
    ]
