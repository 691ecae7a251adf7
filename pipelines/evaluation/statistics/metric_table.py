"""The numbers of one metric for all models over the same items (prompts, documents, pairs), and its figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.evaluation.statistics.intervals import Estimate, Statistic, bootstrap_of_sums
from pipelines.evaluation.statistics.metric_definition import MetricDefinition
from pipelines.evaluation.statistics.row_groups import Groups
from pipelines.evaluation.statistics.shares import paired_difference_of_shares, share
from pipelines.evaluation.statistics.significance import PermutationTest, permutation_test_of_sums

SAMPLED = "_sampled"
_MIN_ITEMS = 2  # one item has no interval
_SAME = 1e-9  # sums of floats in another order differ by less


def _ratio(sums: np.ndarray) -> np.ndarray:
    return sums[0] / sums[1]


@dataclass(frozen=True)
class Difference:
    """A model's figure minus the base's over the items that both have, with its permutation test (if made). `relative`
    is the difference as a share of the base's figure, None where that has no meaning; the counts are the items where
    the model's value is higher than, equal to and lower than the base's, None without values of items."""

    estimate: Estimate
    test: PermutationTest | None
    relative: Estimate | None = None
    n_higher: int | None = None
    n_equal: int | None = None
    n_lower: int | None = None


@dataclass(frozen=True, eq=False)
class MetricTable:
    """A metric's numbers by model: tables of shape [n_items, n_columns], whose figure is `statistic` of their sums.

    A row of NaN is an item to which the metric does not apply. `decoding` is "greedy", "sampled", or None for metrics
    that need no answers. `groups` has a label for each item: items of one label depend on each other, and are resampled
    and permuted together. Build one by `of_values`, `of_ratios` or `of_sums`.
    """

    definition: MetricDefinition
    tables: Mapping[str, np.ndarray]
    statistic: Statistic
    decoding: str | None = None
    has_item_values: bool = True
    has_greedy_version: bool = True
    groups: Groups | None = None

    @classmethod
    def of_values(
        cls,
        definition: MetricDefinition,
        values: Mapping[str, Sequence[float | None]],
        *,
        decoding: str | None = None,
        has_greedy_version: bool = True,
    ) -> "MetricTable":
        """A number (or yes and no) for each item; the figure is their mean. A sampled metric without a greedy version
        keeps its plain name."""
        tables = {
            model: np.column_stack([np.array(found, dtype=np.float64), np.ones(len(found))])  # None becomes NaN
            for model, found in values.items()
        }
        return cls(definition, tables, _ratio, decoding, has_greedy_version=has_greedy_version)

    @classmethod
    def of_ratios(
        cls,
        definition: MetricDefinition,
        numerators: Mapping[str, Sequence[float | None]],
        denominators: Mapping[str, Sequence[float | None]],
    ) -> "MetricTable":
        """Two numbers for each item; the figure is the sum of the first over the sum of the second. An item whose
        second number is 0 does not count."""
        tables = {}
        for model, found in numerators.items():
            table = np.array(list(zip(found, denominators[model], strict=True)), dtype=np.float64).reshape(-1, 2)
            tables[model] = np.where(table[:, 1:] > 0, table, np.nan)
        return cls(definition, tables, _ratio)

    @classmethod
    def of_sums(
        cls, definition: MetricDefinition, tables: Mapping[str, np.ndarray], statistic: Statistic
    ) -> "MetricTable":
        """Several numbers for each item (shape [n_items, n_columns]); the figure is any function of their sums. The
        interval is corrected for bias: resampling raises a mean of distances such as a calibration error."""
        return cls(definition, tables, statistic, has_item_values=False)

    @property
    def is_repeat(self) -> bool:
        """Whether it measures on samples what another table measures on greedy answers."""
        return self.decoding == "sampled" and self.has_greedy_version

    @property
    def name(self) -> str:
        """The metric's name in the records; that of a sampled one ends in `_sampled`."""
        return self.definition.name + (SAMPLED if self.is_repeat else "")

    @property
    def label(self) -> str:
        """The metric's label; that of a sampled one ends in (sampled)."""
        return self.definition.label + (" (sampled)" if self.is_repeat else "")

    def with_groups(self, groups: Groups | None) -> "MetricTable":
        """The same metric with a label for each item, see `groups`."""
        return replace(self, groups=groups)

    def on_shared_items(self) -> "MetricTable":
        """The same metric over the items that all models have, so that figures of a row are of the same items. Ignores
        a model without any item; returns the table unchanged if fewer than two items are shared."""
        known = {model: ~np.isnan(table).any(axis=1) for model, table in self.tables.items()}
        having = [found for found in known.values() if found.any()]
        shared = np.all(having, axis=0) if having else np.zeros(0, dtype=bool)
        if shared.sum() < _MIN_ITEMS:
            return self
        tables = {model: np.where(shared[:, None], table, np.nan) for model, table in self.tables.items()}
        return replace(self, tables=tables)

    def subset(self, places: Sequence[int]) -> "MetricTable":
        """The same metric over the items at `places`."""
        tables = {model: table[list(places)] for model, table in self.tables.items()}
        return replace(self, tables=tables, groups=self.groups and [self.groups[place] for place in places])

    def item_values(self, model: str) -> np.ndarray:
        """The figure of each item (shape [n_items], NaN where the metric does not apply)."""
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
        return bootstrap_of_sums(table, self.statistic, groups=groups, bias_corrected=not self.has_item_values)

    def difference(self, model: str, base: str, *, tested: bool = True) -> Difference | None:
        """The model's figure minus the base's, None for fewer than two items that both have, or a model without.
        `tested` False skips the permutation test, which takes as long as the interval."""
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
        if not self.has_item_values:
            return Difference(estimate, test, relative)
        change = a[:, 0] / a[:, 1] - b[:, 0] / b[:, 1]
        counts = (int(found.sum()) for found in (change > _SAME, abs(change) <= _SAME, change < -_SAME))
        return Difference(estimate, test, relative, *counts)

    def _groups_of(self, known: np.ndarray) -> Groups | None:
        """The labels of the items where `known` is true."""
        if self.groups is None:
            return None
        return [group for group, is_known in zip(self.groups, known, strict=True) if is_known]

    def _interval(
        self,
        a: np.ndarray,
        b: np.ndarray,
        groups: Groups | None,
        compare: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ) -> Estimate:
        n_columns = a.shape[1]
        return bootstrap_of_sums(
            np.hstack([a, b]),
            lambda sums: compare(self.statistic(sums[:n_columns]), self.statistic(sums[n_columns:])),
            groups=groups,
            bias_corrected=not self.has_item_values,
        )

    def _is_of_flags(self, table: np.ndarray) -> bool:
        """Whether all values are yes or no; the means of samples that disagree are not."""
        return self.definition.is_flag and bool(np.isin(table[:, 0], (0.0, 1.0)).all())
