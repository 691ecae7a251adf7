"""Estimates with 95% intervals: seeded percentile bootstrap over documents, paired where two models saw the same ones.

The bootstrap and its percentile interval: B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993),
chapters 6 and 13. Paired resampling for comparing two systems on one test set: P. Koehn, Statistical Significance Tests
for Machine Translation Evaluation (EMNLP 2004). A document is resampled whole, because its tokens are not independent;
with `groups` (a label for each document), whole groups of documents are, see `row_groups`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pipelines.evaluation.statistics.row_groups import MIN_EFFECTIVE_GROUPS, MIN_GROUPS, Groups, RowGroups

Statistic = Callable[[np.ndarray], np.ndarray]  # column sums, shape [n_columns] or [n_columns, m] -> a figure, or m

N_RESAMPLES = 10_000
_Z_95 = 1.959963984540054  # the standard normal distribution's 97.5% point
_DRAWS_AT_A_TIME = 2_000_000  # about 50 MB of indices and counts, however many documents there are


@dataclass(frozen=True)
class Estimate:
    """A figure over `n` documents with its 95% interval (low, high), all in the figure's own unit.

    `n_groups` and `effective_groups` count the groups of documents that depend on each other, None where each document
    is a group of its own.
    """

    value: float
    ci95: tuple[float, float]
    n: int
    n_groups: int | None = None
    effective_groups: float | None = None

    @classmethod
    def of(cls, value: float, ci95: tuple[float, float], groups: RowGroups) -> "Estimate":
        """The figure of rows in `groups`."""
        n = len(groups.codes)
        if groups.are_single_rows:
            return cls(value, ci95, n)
        return cls(value, ci95, n, groups.n_groups, groups.n_effective)

    @property
    def has_too_few_groups(self) -> bool:
        """Whether the groups are too few, or too unequal, to claim a difference by this figure."""
        if self.n_groups is None or self.effective_groups is None:
            return False
        return self.n_groups < MIN_GROUPS or self.effective_groups < MIN_EFFECTIVE_GROUPS

    def to_json(self) -> dict[str, Any]:
        """`{"value", "ci95": [low, high], "n", "n_groups"}`, the form of every figure in the records.

        Where documents share groups, `effective_groups` too, and `too_few_groups: true` if no claim can rest on them.
        """
        record = {"value": self.value, "ci95": list(self.ci95), "n": self.n, "n_groups": self.n_groups or self.n}
        if self.effective_groups is not None:
            record["effective_groups"] = round(self.effective_groups, 1)
        return record | ({"too_few_groups": True} if self.has_too_few_groups else {})


def bootstrap_mean(
    values: ArrayLike, *, groups: Groups | None = None, seed: int = 0, n_resamples: int = N_RESAMPLES
) -> Estimate:
    """Mean of `values` (shape [n]). For yes-or-no values use `share`: all-yes resamples have an interval of width 0.

    Raises `ValueError` below two values, or if one is not finite.
    """
    return _bootstrap([values], lambda sums: sums[0] / sums[1], groups, seed, n_resamples)


def bootstrap_ratio(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    groups: Groups | None = None,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> Estimate:
    """Sum of `numerators` over sum of `denominators` (shape [n] each); a document's two numbers stay together.

    This is the token-weighted mean when the two are nats and tokens. Raises `ValueError` below two documents, for a
    denominator that is not positive, or a number that is not finite.
    """
    columns = [numerators, _positive(denominators)]
    return _bootstrap(columns, lambda sums: sums[0] / sums[1], groups, seed, n_resamples)


def paired_difference_of_means(
    a: ArrayLike, b: ArrayLike, *, groups: Groups | None = None, seed: int = 0, n_resamples: int = N_RESAMPLES
) -> Estimate:
    """mean(a) - mean(b), where a[i] and b[i] (shape [n]) belong to the same document. Raises as `bootstrap_mean`."""
    return _bootstrap([a, b], lambda sums: (sums[0] - sums[1]) / sums[2], groups, seed, n_resamples)


def paired_difference_of_ratios(
    numerators_a: ArrayLike,
    denominators_a: ArrayLike,
    numerators_b: ArrayLike,
    denominators_b: ArrayLike,
    *,
    groups: Groups | None = None,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> Estimate:
    """Ratio of a minus ratio of b over the same documents (shape [n] each). Raises as `bootstrap_ratio`."""
    columns = [numerators_a, _positive(denominators_a), numerators_b, _positive(denominators_b)]
    return _bootstrap(columns, lambda sums: sums[0] / sums[1] - sums[2] / sums[3], groups, seed, n_resamples)


def paired_relative_change_of_ratios(
    numerators_a: ArrayLike,
    denominators_a: ArrayLike,
    numerators_b: ArrayLike,
    denominators_b: ArrayLike,
    *,
    groups: Groups | None = None,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> Estimate:
    """(ratio of a - ratio of b) / ratio of b over the same documents: -0.15 says that a is 15% below b.

    Raises as `bootstrap_ratio`, and `ValueError` for a numerator of b that is not positive.
    """
    columns = [numerators_a, _positive(denominators_a), _positive(numerators_b), _positive(denominators_b)]
    return _bootstrap(columns, lambda sums: (sums[0] / sums[1]) / (sums[2] / sums[3]) - 1, groups, seed, n_resamples)


def share(flags: ArrayLike, groups: Groups | None = None) -> Estimate:
    """Share of true values in `flags` (shape [n]) with Wilson's score interval, which stays honest at 0% and 100%.

    E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference (JASA 22, 1927). With `groups` n
    is the number of independent flags that would vary as much as whole groups do (by the jackknife), and 1.96 is
    Student's t: C. Franco, R. Little, T. Louis, E. Slud, Comparative Study of Confidence Intervals for Proportions in
    Complex Sample Surveys (Journal of Survey Statistics and Methodology 7, 2019). Where all flags are equal nothing
    says how much groups vary, and each effective group counts once.
    Raises `ValueError` without any flag.
    """
    values = np.asarray(flags, dtype=bool)
    if len(values) == 0:
        raise ValueError("a share needs at least one value")
    rows = RowGroups.of(groups, len(values))
    value = float(values.mean())
    n, z = _n_independent(values, rows), _Z_95 if rows.are_resampled_by_row else rows.t_quantile
    spread = 1 + z**2 / n
    centre = (value + z**2 / (2 * n)) / spread
    half_width = z / spread * np.sqrt(value * (1 - value) / n + z**2 / (4 * n * n))
    low, high = float(max(0.0, centre - half_width)), float(min(1.0, centre + half_width))
    return Estimate.of(value, (min(low, value), max(high, value)), rows)  # at 0 and 1 a limit is the value, but rounded


def _n_independent(flags: np.ndarray, rows: RowGroups) -> float:
    """How many independent flags have the variance that the share of `flags` has, at most as many as there are."""
    n = len(flags)
    if rows.are_resampled_by_row:
        return n
    value = flags.mean()
    if value in (0, 1):
        return rows.n_effective
    left_out = (flags.sum() - np.bincount(rows.codes, weights=flags)) / (n - rows.sizes)
    variance = float(((left_out - value) ** 2).sum()) * (rows.n_groups - 1) / rows.n_groups
    return min(float(n), value * (1 - value) / variance) if variance > 0 else n


def bootstrap_of_sums(
    table: np.ndarray,
    statistic: Statistic,
    *,
    groups: Groups | None = None,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
    centred: bool = False,
) -> Estimate:
    """`statistic` of the column sums of `table` (shape [n, n_columns], a row for each document).

    Whole `groups` of documents are resampled, and the interval is the wider for few or unequal ones. The documents of
    a single group are resampled themselves: that interval holds for the group, and no claim can rest on it.

    `centred` subtracts the bootstrap's estimate of bias, the mean over resamples minus the value (Efron and Tibshirani,
    chapter 10), from the ends of the interval: for a statistic that resampling moves, such as a mean of distances.

    Raises `ValueError` below two documents, or for a number that is not finite.
    """
    n = len(table)
    if n < 2:
        raise ValueError(f"an interval needs at least two documents, got {n}")
    if not np.isfinite(table).all():
        raise ValueError("expected finite numbers, got NaN or infinity")
    rows = RowGroups.of(groups, n)
    resampled = statistic(
        _resampled_sums(table if rows.are_resampled_by_row else rows.sums(table), seed, n_resamples).T
    )
    value = float(statistic(table.sum(axis=0)))
    bias = float(resampled.mean()) - value if centred else 0.0
    low, high = np.percentile(resampled, [rows.tail_percent, 100 - rows.tail_percent]) - bias
    return Estimate.of(value, (float(low), float(high)), rows)


def _bootstrap(
    columns: list[ArrayLike], statistic: Statistic, groups: Groups | None, seed: int, n_resamples: int
) -> Estimate:
    """`statistic` of the columns' sums, the last of which is n, on the documents and on resamples of them."""
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    n = len(arrays[0])
    if any(array.shape != (n,) for array in arrays):
        raise ValueError(f"expected one number for each document, got shapes {[array.shape for array in arrays]}")
    table = np.stack([*arrays, np.ones(n)], axis=1)
    return bootstrap_of_sums(table, statistic, groups=groups, seed=seed, n_resamples=n_resamples)


def _resampled_sums(table: np.ndarray, seed: int, n_resamples: int) -> np.ndarray:
    """Column sums (shape [n_resamples, n_columns]) over `n_resamples` draws of n rows with replacement.

    How often each row was drawn is counted with one bincount for many resamples: five times as fast as numpy's
    multinomial at 10,000 documents. Equal seeds draw equal rows for any table of n rows.
    """
    n = len(table)
    generator = np.random.default_rng(seed)
    sums = np.empty((n_resamples, table.shape[1]))
    n_at_a_time = max(1, _DRAWS_AT_A_TIME // n)
    for start in range(0, n_resamples, n_at_a_time):
        m = min(n_at_a_time, n_resamples - start)
        drawn = generator.integers(0, n, size=(m, n)) + np.arange(m)[:, None] * n
        counts = np.bincount(drawn.ravel(), minlength=m * n).reshape(m, n)
        sums[start : start + m] = counts @ table
    return sums


def _positive(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if not (array > 0).all():
        raise ValueError("expected positive denominators; leave out documents without tokens")
    return array
