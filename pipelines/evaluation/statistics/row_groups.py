"""Rows that depend on each other (of one document, module, conversation): whole groups are resampled and permuted.

With few groups, or one that holds most rows, resampling groups gives intervals that are too narrow. Two remedies are
used here, and a simulation in the tests shows that both are needed and suffice:

- the number of groups that counts is the effective one, (sum of n_g)^2 / sum of n_g^2 (L. Kish, Survey Sampling, 1965);
- intervals are widened as Student's t with that number less one degrees of freedom asks for: T. Hesterberg, What
  Teachers Should Know About the Bootstrap (The American Statistician 69, 2015), section 4.3, for the percentile
  interval; C. Carter, K. Schnepel, D. Steigerwald, Asymptotic Behavior of a t-Test Robust to Cluster Heterogeneity
  (Review of Economics and Statistics 99, 2017), for counting by effective groups.
"""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

MIN_GROUPS = 10
MIN_EFFECTIVE_GROUPS = 5.0

Groups = Sequence[Hashable]


def group_of(row: Mapping[str, Any]) -> str | None:
    """The group that a row names in its column `group`, None where it names none."""
    group = row.get("group")
    is_absent = group is None or group != group  # NaN, as pandas writes an empty cell
    return None if is_absent else str(group).strip() or None


def groups_by_instruction(groups: Sequence[str | None], instructions: Sequence[str | None]) -> list[str | None]:
    """The groups of rows, None for a group of its own. Rows without one are grouped by equal instructions (but for case
    and spaces), unless all rows have the same: then it is their inputs that differ, and each row stands alone."""
    asked = [one and " ".join(one.casefold().split()) for one in instructions]
    counts = Counter(asked)
    return [
        one if group is None and one and 1 < counts[one] < len(asked) else group
        for group, one in zip(groups, asked, strict=True)
    ]


def labels_of(groups: Sequence[str | None]) -> list[Hashable]:
    """A label for each row: of its group, its place for a group of its own."""
    return [place if group is None else group for place, group in enumerate(groups)]


@dataclass(frozen=True, eq=False)
class RowGroups:
    """The group of each row as a number from 0 (`codes`, shape [n]), in the order of first appearance."""

    codes: np.ndarray

    @classmethod
    def of(cls, labels: Groups | None, n: int) -> "RowGroups":
        """The groups of `n` rows: equal labels are one group; None makes each row a group of its own.

        Raises `ValueError` unless there is a label for each row.
        """
        if labels is None:
            return cls(np.arange(n))
        if len(labels) != n:
            raise ValueError(f"expected a group for each of {n} rows, got {len(labels)}")
        numbers: dict[Hashable, int] = {}
        return cls(np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64))

    @cached_property
    def sizes(self) -> np.ndarray:
        """Rows of each group (shape [n_groups])."""
        return np.bincount(self.codes)

    @property
    def n_groups(self) -> int:
        return len(self.sizes)

    @property
    def n_effective(self) -> float:
        """Kish's effective number of groups: `n_groups` if all are of one size, 1 if one holds nearly all rows."""
        return float(self.sizes.sum() ** 2 / (self.sizes**2).sum())

    @property
    def are_single_rows(self) -> bool:
        """Whether each row is a group of its own, so that nothing is to be done."""
        return self.n_groups == len(self.codes)

    @property
    def are_resampled_by_row(self) -> bool:
        """Whether rows are resampled: each is a group, or all are one, which alone cannot be resampled."""
        return self.are_single_rows or self.n_groups == 1

    @property
    def are_too_few(self) -> bool:
        """Whether these groups are too few, or too unequal, to claim that models differ."""
        few = self.n_groups < MIN_GROUPS or self.n_effective < MIN_EFFECTIVE_GROUPS
        return few and not self.are_single_rows

    def sums(self, table: np.ndarray) -> np.ndarray:
        """The rows of `table` (shape [n, n_columns]) added up by group (shape [n_groups, n_columns])."""
        if self.are_single_rows:
            return table
        sums = np.zeros((self.n_groups, table.shape[1]))
        np.add.at(sums, self.codes, table)
        return sums

    @property
    def t_quantile(self) -> float:
        """Student's 97.5% point with the effective groups less one degrees of freedom (at least one)."""
        return t_quantile(max(1.0, self.n_effective - 1))

    @property
    def tail_percent(self) -> float:
        """Percent of resamples to cut off at either end of a 95% interval: 2.5, less where rows are grouped.

        Hesterberg's expanded percentile interval.
        """
        if self.are_resampled_by_row:
            return 2.5
        n = self.n_effective
        return 100 * NormalDist().cdf(-self.t_quantile * math.sqrt(n / (n - 1)))


@lru_cache(maxsize=256)
def t_quantile(degrees_of_freedom: float) -> float:
    """The 97.5% point of Student's t, for fractions of 1 and more too.

    With t = sqrt(df) tan(angle) the density is in proportion to cos(angle)^(df - 1): summed on a grid of angles.
    """
    edges = np.linspace(0.0, math.pi / 2, 20_001)
    mass = np.cumsum(np.cos((edges[1:] + edges[:-1]) / 2) ** (degrees_of_freedom - 1))
    angle = np.interp(0.95 * mass[-1], np.concatenate([[0.0], mass]), edges)
    return math.sqrt(degrees_of_freedom) * math.tan(float(angle))
