"""Groups of rows that depend on each other (one document, module, conversation): resampled and permuted as a whole.

With few groups, or one that has most rows, plain cluster resampling gives intervals that are too narrow. A simulation
in the tests shows that both of these corrections are needed and suffice:

- count the effective groups, (sum of n_g)^2 / sum of n_g^2 (L. Kish, Survey Sampling, 1965);
- widen intervals by Student's t with that number less one degrees of freedom: T. Hesterberg, What Teachers Should Know
  About the Bootstrap (The American Statistician 69, 2015), section 4.3, for the percentile interval; C. Carter, K.
  Schnepel, D. Steigerwald, Asymptotic Behavior of a t-Test Robust to Cluster Heterogeneity (Review of Economics and
  Statistics 99, 2017), for effective groups.
"""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np

MIN_GROUPS = 10
MIN_EFFECTIVE_GROUPS = 5.0

Groups = Sequence[Hashable]


def group_of(row: Mapping[str, Any]) -> str | None:
    """The group in a row's column `group`, None without one."""
    group = row.get("group")
    is_absent = group is None or group != group  # NaN, as pandas writes an empty cell
    return None if is_absent else str(group).strip() or None


def groups_by_instruction(groups: Sequence[str | None], instructions: Sequence[str | None]) -> list[str | None]:
    """The groups of rows, None for a group of its own. Rows without one are grouped by equal instructions (ignoring
    case and spaces), unless all rows have the same instruction: then their inputs differ, and each row is its own."""
    asked = [one and " ".join(one.casefold().split()) for one in instructions]
    counts = Counter(asked)
    return [
        one if group is None and one and 1 < counts[one] < len(asked) else group
        for group, one in zip(groups, asked, strict=True)
    ]


def labels_of(groups: Sequence[str | None]) -> list[Hashable]:
    """A label for each row: its group, or its position for a group of its own."""
    return [place if group is None else group for place, group in enumerate(groups)]


def are_too_few(n_groups: int, n_effective: float) -> bool:
    """Whether groups are too few, or too unequal, to claim that models differ."""
    return n_groups < MIN_GROUPS or n_effective < MIN_EFFECTIVE_GROUPS


@dataclass(frozen=True, eq=False)
class RowGroups:
    """The group of each row as a number from 0 (`codes`, shape [n]), in the order of first appearance."""

    codes: np.ndarray

    @classmethod
    def of(cls, labels: Groups | None, n: int) -> "RowGroups":
        """The groups of `n` rows: equal labels are one group; None makes each row a group of its own. Raises
        `ValueError` unless there is a label for each row."""
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
        """Kish's effective number of groups: `n_groups` if all are of one size, 1 if one has nearly all rows."""
        return float(self.sizes.sum() ** 2 / (self.sizes**2).sum())

    @property
    def are_single_rows(self) -> bool:
        """Whether each row is a group of its own."""
        return self.n_groups == len(self.codes)

    @property
    def are_resampled_by_row(self) -> bool:
        """Whether rows are resampled: each is a group, or all are one group, which cannot be resampled."""
        return self.are_single_rows or self.n_groups == 1

    @property
    def are_too_few(self) -> bool:
        """Whether these groups are too few, or too unequal, to claim that models differ."""
        return not self.are_single_rows and are_too_few(self.n_groups, self.n_effective)

    def sums(self, table: np.ndarray) -> np.ndarray:
        """The rows of `table` (shape [n, n_columns]) summed by group (shape [n_groups, n_columns])."""
        if self.are_single_rows:
            return table
        sums = np.zeros((self.n_groups, table.shape[1]))
        np.add.at(sums, self.codes, table)
        return sums

    @property
    def t_quantile(self) -> float:
        """Student's 97.5% point with the effective groups less one degrees of freedom (at least one)."""
        from scipy.special import stdtrit  # slow to import

        return float(stdtrit(max(1.0, self.n_effective - 1), 0.975))

    @property
    def tail_percent(self) -> float:
        """Percent of resamples to cut off at either end of a 95% interval: 2.5, less where rows are grouped.
        Hesterberg's expanded percentile interval."""
        if self.are_resampled_by_row:
            return 2.5
        n = self.n_effective
        return 100 * NormalDist().cdf(-self.t_quantile * math.sqrt(n / (n - 1)))
