"""A check for chosen answers that are longer than the rejected ones in nearly all pairs."""

import math
from collections.abc import Iterator
from statistics import fmean, median, pstdev
from typing import cast

from trl import DPOConfig

from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.evidence import Check, head, kept_rows, row_evidence, share_of
from pipelines.records.finding import Finding, Severity

# Judges and annotators prefer the longer answer in 44 to 65% of the pairs of public sets.
_LONGER_SHARE, _RATIO = 0.8, 1.2  # of the pairs; median of chosen to rejected
_MIN_PAIRS, _COMPARED_SHARE, _DISTINCT = 16, 0.5, 0.5
_MIN_CHARACTERS = 20  # "No." and other refusals to answer say nothing about length
_NORMALIZED = "sigmoid_norm"  # the loss of TRL that divides by the length


def length_bias(context: CheckContext) -> Iterator[Finding]:
    """LENGTH_BIAS: length alone tells which answer is chosen."""
    if context.stage is not Stage.DPO:
        return
    rows = kept_rows(context)
    compared = [
        row for row in rows if min(len(row.answers[0].encode()), len(row.answers[1].encode())) >= _MIN_CHARACTERS
    ]
    n_rejected = len({row.answers[1] for row in compared})
    if len(compared) < max(_MIN_PAIRS, _COMPARED_SHARE * len(rows)) or n_rejected < _DISTINCT * len(compared):
        return
    ratios = [math.log(len(row.answers[0]) / len(row.answers[1])) for row in compared]
    longer = [row for row, ratio in zip(compared, ratios, strict=True) if ratio > 0]
    typical = math.exp(median(ratios))
    if len(longer) < _LONGER_SHARE * len(compared) or typical < _RATIO:
        return
    training = cast(DPOConfig, context.training)
    is_corrected = (training.ld_alpha or 1.0) < 1 or _NORMALIZED in training.loss_type
    effect = fmean(ratios) / (pstdev(ratios) or 1e-9)
    yield Finding(
        "LENGTH_BIAS",
        Severity.NOTE if is_corrected else Severity.WARNING,
        summary=f"the chosen answer is the longer one in {share_of(len(longer), len(compared))} pairs, and "
        f"{typical:.1f} times as long in the median (effect size {min(effect, 99):.1f})",
        why="length alone tells the answers apart, so the model learns to write more and not to answer better",
        remedy="nothing to do: the loss counts the length less"
        if is_corrected
        else "set ld_alpha: 0.5, which leaves out half of the weight of what is longer, or add pairs whose better "
        "answer is the shorter one",
        evidence=row_evidence(
            longer,
            lambda row: (
                f"{len(row.answers[0])} characters: {head(row.answers[0], 50)} | {len(row.answers[1])}: "
                f"{head(row.answers[1], 50)}"
            ),
        ),
        n_rows=len(longer),
    )


CHECKS: tuple[Check, ...] = (length_bias,)
