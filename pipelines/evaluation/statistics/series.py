"""One metric of all models over the same items (prompts, documents, pairs), and the figures that follow from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines.evaluation.statistics.intervals import Estimate, Statistic, bootstrap_of_sums, share
from pipelines.evaluation.statistics.metric_definition import MetricDefinition
from pipelines.evaluation.statistics.paired_shares import paired_difference_of_shares
from pipelines.evaluation.statistics.row_groups import Groups
from pipelines.evaluation.statistics.significance import PermutationTest, permutation_test_of_sums

SAMPLED = "_sampled"
_MIN_ITEMS = 2  # one item has no interval
_SAME = 1e-9  # figures of an item that differ by less are equal: sums of floats in another order


def _first_over_second(sums: np.ndarray) -> np.ndarray:
    return sums[0] / sums[1]


@dataclass(frozen=True)
class Difference:
    """A model's figure minus the base's over the items that both have, with the test that there is none (if made).

    `relative` is the difference as a share of the base's figure, None where that has no meaning; the counts say on how
    many items the model's value is higher than, equal to and lower than the base's, None without values of items.
    """

    estimate: Estimate
    test: PermutationTest | None
    relative: Estimate | None = None
    n_higher: int | None = None
    n_equal: int | None = None
    n_lower: int | None = None

    @property
    def p_value(self) -> float:
        """The test's, NaN without one."""
        return float("nan") if self.test is None else self.test.p_value


@dataclass(frozen=True, eq=False)
class Series:
    """A metric's numbers by model: tables of shape [n_items, n_columns], whose figure is `statistic` of their sums.

    A row of NaN is an item to which the metric does not apply. `decoding` is "greedy", "sampled", or None for what
    does not depend on how answers are decoded. `groups` has a label for each item: items of one label depend on each
    other, and are resampled and permuted together. Build one by `of_values`, `of_ratios` or `of_sums`.
    """

    definition: MetricDefinition
    tables: Mapping[str, np.ndarray]
    statistic: Statistic
    decoding: str | None = None
    has_item_values: bool = True
    has_greedy_namesake: bool = True
    groups: Groups | None = None

    @classmethod
    def of_values(
        cls,
        definition: MetricDefinition,
        values: Mapping[str, Sequence[float | None]],
        *,
        decoding: str | None = None,
        has_greedy_namesake: bool = True,
    ) -> "Series":
        """A number (or yes and no) for each item; the figure is their mean.

        Without a `has_greedy_namesake` a sampled metric goes by its own name alone.
        """
        tables = {
            model: np.array([[np.nan if one is None else float(one), 1.0] for one in found]).reshape(-1, 2)
            for model, found in values.items()
        }
        return cls(definition, tables, _first_over_second, decoding, has_greedy_namesake=has_greedy_namesake)

    @classmethod
    def of_ratios(
        cls,
        definition: MetricDefinition,
        numerators: Mapping[str, Sequence[float | None]],
        denominators: Mapping[str, Sequence[float | None]],
        *,
        decoding: str | None = None,
    ) -> "Series":
        """Two numbers for each item; the figure is the sum of the first over the sum of the second.

        An item whose second number is 0 has no part in it.
        """
        tables = {}
        for model, found in numerators.items():
            pairs = [
                (np.nan, np.nan) if a is None or b is None or b <= 0 else (float(a), float(b))
                for a, b in zip(found, denominators[model], strict=True)
            ]
            tables[model] = np.array(pairs).reshape(-1, 2)
        return cls(definition, tables, _first_over_second, decoding)

    @classmethod
    def of_sums(
        cls,
        definition: MetricDefinition,
        tables: Mapping[str, np.ndarray],
        statistic: Statistic,
        *,
        decoding: str | None = None,
    ) -> "Series":
        """Several numbers for each item (shape [n_items, n_columns]); the figure is any function of their sums.

        Its interval is centred: resampling adds to a mean of distances such as a calibration error, and a plain
        percentile interval would lie too high.
        """
        return cls(definition, tables, statistic, decoding, has_item_values=False)

    @property
    def name(self) -> str:
        """The metric's name in the records; that of a sampled one ends in `_sampled`."""
        return self.definition.name + (SAMPLED if self._is_told_from_greedy else "")

    @property
    def label(self) -> str:
        """The metric's label; that of a sampled one says so."""
        return self.definition.label + (" (sampled)" if self._is_told_from_greedy else "")

    @property
    def _is_told_from_greedy(self) -> bool:
        return self.decoding == "sampled" and self.has_greedy_namesake

    def grouped(self, groups: Groups | None) -> "Series":
        """The same metric with a label for each item, see `groups`."""
        return replace(self, groups=groups)

    @property
    def is_repeat(self) -> bool:
        """Whether it measures by samples what another series measures by greedy answers."""
        return self._is_told_from_greedy

    def on_shared_items(self) -> "Series":
        """The same metric over the items that all models have: figures side by side are then of the same items.

        A model without any item is left out of this; the series is as it was if fewer than two items are shared.
        """
        known = {model: ~np.isnan(table).any(axis=1) for model, table in self.tables.items()}
        having = [found for found in known.values() if found.any()]
        shared = np.all(having, axis=0) if having else np.zeros(0, dtype=bool)
        if shared.sum() < _MIN_ITEMS:
            return self
        tables = {model: np.where(shared[:, None], table, np.nan) for model, table in self.tables.items()}
        return replace(self, tables=tables)

    def among(self, places: Sequence[int]) -> "Series":
        """The same metric over the items at `places` alone."""
        tables = {model: table[list(places)] for model, table in self.tables.items()}
        return replace(self, tables=tables, groups=self.groups and [self.groups[place] for place in places])

    def item_values(self, model: str) -> np.ndarray:
        """The figure of each item alone (shape [n_items], NaN where the metric does not apply)."""
        table = self.tables[model]
        return table[:, 0] / table[:, 1]

    def figure(self, model: str) -> Estimate | None:
        """The model's figure with its interval, None for fewer than two items or a model that was not measured."""
        if model not in self.tables:
            return None
        known = ~np.isnan(self.tables[model]).any(axis=1)
        table, groups = self.tables[model][known], self._groups_of(known)
        if len(table) < _MIN_ITEMS:
            return None
        if self._is_of_flags(table):
            return share(table[:, 0] > 0, groups)
        return bootstrap_of_sums(table, self.statistic, groups=groups, centred=not self.has_item_values)

    def difference(self, model: str, base: str, *, tested: bool = True) -> Difference | None:
        """The model's figure minus the base's, None for fewer than two items that both have, or a model without.

        `tested` False leaves the test out, which costs as much as the interval.
        """
        if not {model, base} <= self.tables.keys():
            return None
        a, b = self.tables[model], self.tables[base]
        both = ~(np.isnan(a).any(axis=1) | np.isnan(b).any(axis=1))
        a, b, groups = a[both], b[both], self._groups_of(both)
        if len(a) < _MIN_ITEMS:
            return None
        if self._is_of_flags(a) and self._is_of_flags(b):
            estimate = paired_difference_of_shares(a[:, 0] > 0, b[:, 0] > 0, groups)
        else:
            estimate = self._interval(a, b, groups, lambda first, second: first - second)
        test = permutation_test_of_sums(a, b, self.statistic, groups=groups) if tested else None
        relative = None
        if self.definition.unit == "bits_per_byte":
            relative = self._interval(a, b, groups, lambda first, second: first / second - 1)
        return Difference(estimate, test, relative, *self._counts(a, b))

    def _groups_of(self, known: np.ndarray) -> Groups | None:
        """The labels of the items where `known` is true."""
        if self.groups is None:
            return None
        return [group for group, is_known in zip(self.groups, known, strict=True) if is_known]

    def _interval(self, a: np.ndarray, b: np.ndarray, groups: Groups | None, compared: Any) -> Estimate:
        n_columns = a.shape[1]
        return bootstrap_of_sums(
            np.hstack([a, b]),
            lambda sums: compared(self.statistic(sums[:n_columns]), self.statistic(sums[n_columns:])),
            groups=groups,
            centred=not self.has_item_values,
        )

    def _counts(self, a: np.ndarray, b: np.ndarray) -> tuple[int, int, int] | tuple[None, None, None]:
        if not self.has_item_values:
            return None, None, None
        change = a[:, 0] / a[:, 1] - b[:, 0] / b[:, 1]
        return int((change > _SAME).sum()), int((abs(change) <= _SAME).sum()), int((change < -_SAME).sum())

    def _is_of_flags(self, table: np.ndarray) -> bool:
        """Whether all values are yes or no; where samples of a prompt disagree, their means are not."""
        return self.definition.is_flag and bool(np.isin(table[:, 0], (0.0, 1.0)).all())
