"""p-values for paired measurements, and Holm's correction for several metrics.

scipy.stats.permutation_test is not used: it computes the statistic on swapped rows, not on their sums, which takes 12
to 38 times as long at 200 to 10,000 documents. statsmodels would be a dependency for the 7 lines of Holm's correction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.evaluation.statistics.intervals import Statistic
from pipelines.evaluation.statistics.row_groups import Groups, RowGroups

N_PERMUTATIONS = 10_000
_SWAPS_AT_A_TIME = 5_000_000  # 40 MB of them
_ROUNDING = 1e-9  # sums in another order differ in their last digits, and count as equal


@dataclass(frozen=True)
class PermutationTest:
    """A two-sided p-value, and `floor`, the smallest p-value that the test can give. The floor is 1 / (n_permutations +
    1) for random permutations, and 2 / 2^m where few (m) pairs or groups differ and all permutations are tried."""

    p_value: float
    floor: float = 0.0

    @property
    def is_at_floor(self) -> bool:
        """Whether no permutation gave a difference as large as the observed one: the p-value is "at most" this."""
        return self.p_value <= self.floor * (1 + _ROUNDING) and self.p_value < 1

    def to_json(self) -> dict[str, Any]:
        """`p_value`, `p_floor` and `p_at_floor` in the records."""
        return {"p_value": self.p_value, "p_floor": self.floor, "p_at_floor": self.is_at_floor}


def permutation_test_of_sums(
    a: np.ndarray,
    b: np.ndarray,
    statistic: Statistic,
    *,
    groups: Groups | None = None,
    seed: int = 0,
    n_permutations: int = N_PERMUTATIONS,
) -> PermutationTest:
    """Two-sided test of statistic(sums of a) - statistic(sums of b), tables of shape [n, n_columns] in pairs.

    Without a difference between the models each pair could be swapped: the p-value is the share of random swaps with a
    difference at least as large as the observed one, which counts as one of them (B. Phipson and G. Smyth, Permutation
    P-values Should Never Be Zero, Stat. Appl. Genet. Mol. Biol. 9, 2010). Where few pairs differ, all swaps are tried
    and the p-value is exact. E. Noreen, Computer-Intensive Methods for Testing Hypotheses (1989), chapter 3A, for two
    systems. With `groups`, all pairs of a group are swapped together.

    Raises `ValueError` for tables of different shapes or numbers that are not finite.
    """
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(f"expected finite numbers in pairs, got shapes {a.shape} and {b.shape}")
    rows = RowGroups.of(groups, len(a))
    a, b = rows.sums(a), rows.sums(b)
    sums_a, sums_b = a.sum(axis=0), b.sum(axis=0)
    moved = (b - a)[(a != b).any(axis=1)]  # what swapping each pair that differs adds to the sums of a
    observed = abs(float(statistic(sums_a) - statistic(sums_b)))
    threshold = observed - _ROUNDING * max(1.0, observed)
    n_pairs = len(moved)
    is_exact = n_pairs <= np.log2(n_permutations)
    n_swaps = 2**n_pairs if is_exact else n_permutations
    generator = np.random.default_rng(seed)
    n_as_large = 0
    n_at_a_time = max(1, _SWAPS_AT_A_TIME // max(1, n_pairs))
    for start in range(0, n_swaps, n_at_a_time):
        m = min(n_at_a_time, n_swaps - start)
        if is_exact:
            swaps = np.arange(start, start + m)[:, None] >> np.arange(n_pairs) & 1
        else:
            swaps = generator.integers(0, 2, size=(m, n_pairs), dtype=np.int8)
        change = swaps.astype(np.float64) @ moved
        differences = statistic((sums_a + change).T) - statistic((sums_b - change).T)
        n_as_large += int((np.abs(differences) >= threshold).sum())
    if is_exact:
        return PermutationTest(n_as_large / n_swaps, min(1.0, 2 / n_swaps))
    return PermutationTest((n_as_large + 1) / (n_swaps + 1), 1 / (n_swaps + 1))


def p_value_text(p_value: float, *, is_at_floor: bool = False) -> str:
    """ "p <= 0.0014" where no permutation reached the difference, else "p = 0.012" or "p < 0.001"."""
    if is_at_floor and p_value < 1:
        return f"p <= {p_value:.2g}"
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Correct p-values for multiple tests: the chance of any false one below 5% is at most 5%. S. Holm, A Simple
    Sequentially Rejective Multiple Test Procedure (Scandinavian Journal of Statistics 6, 1979)."""
    corrected: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, p_values[name] * (len(p_values) - place)))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}
