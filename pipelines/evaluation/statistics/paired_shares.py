"""Difference of two shares on the same prompts, with an interval that stays honest where all prompts agree.

A bootstrap of such pairs has an interval of width 0 when every pair is alike, for instance from 0% to 100%.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from pipelines.evaluation.statistics.intervals import Estimate, share
from pipelines.evaluation.statistics.row_groups import Groups, RowGroups


def paired_difference_of_shares(a: ArrayLike, b: ArrayLike, groups: Groups | None = None) -> Estimate:
    """share(a) - share(b), where the flags a[i] and b[i] (shape [n]) belong to the same prompt.

    The square-and-add interval for paired shares: R. G. Newcombe, Improved confidence intervals for the difference
    between binomial proportions based on paired data (Statistics in Medicine 17, 1998), method 10: the distances of
    each share to its Wilson limits, added at right angles but for the correlation of the pairs. With `groups` the
    limits are those of grouped rows and the correlation is that of the groups' sums.
    """
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(f"expected flags in pairs, got shapes {first.shape} and {second.shape}")
    rows = RowGroups.of(groups, len(first))
    share_a, share_b = share(first, groups), share(second, groups)
    value = share_a.value - share_b.value
    phi = _correlation(first, second) if rows.are_single_rows else _correlation_of_groups(first, second, rows)
    down_a, up_a = share_a.value - share_a.ci95[0], share_a.ci95[1] - share_a.value
    down_b, up_b = share_b.value - share_b.ci95[0], share_b.ci95[1] - share_b.value
    low = value - math.sqrt(max(0.0, down_a**2 - 2 * phi * down_a * up_b + up_b**2))
    high = value + math.sqrt(max(0.0, up_a**2 - 2 * phi * up_a * down_b + down_b**2))
    return Estimate.of(value, (max(-1.0, low), min(1.0, high)), rows)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Newcombe's phi: the flags' correlation, a positive one corrected for continuity; 0 if either is constant."""
    n_both, n_neither = int((a & b).sum()), int((~a & ~b).sum())
    n_first, n_second = int((a & ~b).sum()), int((~a & b).sum())
    margins = (n_both + n_first) * (n_second + n_neither) * (n_both + n_second) * (n_first + n_neither)
    if margins == 0:
        return 0.0
    excess = n_both * n_neither - n_first * n_second
    return (max(excess - len(a) / 2, 0) if excess > 0 else excess) / math.sqrt(margins)


def _correlation_of_groups(a: np.ndarray, b: np.ndarray, rows: RowGroups) -> float:
    """Correlation of the two shares over draws of groups: of the groups' sums less what the shares would give them."""
    first, second = rows.sums(np.stack([a - a.mean(), b - b.mean()], axis=1)).T
    scale = math.sqrt(float((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / scale if scale > 0 else 0.0
