"""Shares of yes or no, and differences of two shares on the same prompts, with intervals that hold at 0% and 100%.

A bootstrap of equal flags has an interval of width 0. scipy and statsmodels have Wilson's interval for counts only, not
for the fractional n and the t quantile of grouped rows, and neither has Newcombe's paired one.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from pipelines.evaluation.statistics.intervals import Estimate
from pipelines.evaluation.statistics.row_groups import Groups, RowGroups

_Z_95 = 1.959963984540054  # the standard normal distribution's 97.5% point


def share(flags: ArrayLike, groups: Groups | None = None) -> Estimate:
    """Share of true values in `flags` (shape [n]) with Wilson's score interval.

    E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference (JASA 22, 1927). With `groups` n
    is the number of independent flags with the variance of whole groups (by the jackknife), and 1.96 is Student's t:
    C. Franco, R. Little, T. Louis, E. Slud, Comparative Study of Confidence Intervals for Proportions in Complex Sample
    Surveys (Journal of Survey Statistics and Methodology 7, 2019). Equal flags do not show how much groups vary: then
    each effective group counts once. Raises `ValueError` without any flag.
    """
    values = np.asarray(flags, dtype=bool)
    if len(values) == 0:
        raise ValueError("a share needs at least one value")
    rows = RowGroups.of(groups, len(values))
    value = float(values.mean())
    n, z = _n_independent(values, rows), _Z_95 if rows.are_resampled_by_row else rows.t_quantile
    spread = 1 + z**2 / n
    center = (value + z**2 / (2 * n)) / spread
    half_width = z / spread * np.sqrt(value * (1 - value) / n + z**2 / (4 * n * n))
    low, high = float(max(0.0, center - half_width)), float(min(1.0, center + half_width))
    return Estimate.of(value, (min(low, value), max(high, value)), rows)  # rounding at 0 and 1


def paired_difference_of_shares(a: ArrayLike, b: ArrayLike, groups: Groups | None = None) -> Estimate:
    """share(a) - share(b), where the flags a[i] and b[i] (shape [n]) belong to the same prompt.

    The square-and-add interval for paired shares: R. G. Newcombe, Improved confidence intervals for the difference
    between binomial proportions based on paired data (Statistics in Medicine 17, 1998), method 10. With `groups` it
    takes the Wilson limits of grouped rows and the correlation of the groups' sums.
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


def _n_independent(flags: np.ndarray, rows: RowGroups) -> float:
    """The number of independent flags whose share has the variance of the share of `flags`, at most len(flags)."""
    n = len(flags)
    if rows.are_resampled_by_row:
        return n
    value = flags.mean()
    if value in (0, 1):
        return rows.n_effective
    left_out = (flags.sum() - np.bincount(rows.codes, weights=flags)) / (n - rows.sizes)
    variance = float(((left_out - value) ** 2).sum()) * (rows.n_groups - 1) / rows.n_groups
    return min(float(n), value * (1 - value) / variance) if variance > 0 else n


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
    """Correlation over groups of the sums of the flags minus their shares."""
    first, second = rows.sums(np.stack([a - a.mean(), b - b.mean()], axis=1)).T
    scale = math.sqrt(float((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / scale if scale > 0 else 0.0
