"""The permutation test keeps its level and finds what is there; Holm's correction is the textbook's."""

import itertools

import numpy as np
import pytest

from pipelines.evaluation.statistics.intervals import paired_difference_of_means
from pipelines.evaluation.statistics.significance import holm, permutation_test_of_sums
from tests.evaluation.plain_likelihood import paired_permutation_p_value

N_SIMULATIONS = 1_000
N_DOCUMENTS = 200


def simulated_pairs(difference: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Skewed scores of two models on the same documents, whose means differ by `difference` in truth."""
    generator = np.random.default_rng(20261122)
    pairs = []
    for _ in range(N_SIMULATIONS):
        documents = generator.gamma(2.0, 1.0, N_DOCUMENTS)
        noise = generator.normal(0.0, 0.7, (2, N_DOCUMENTS))
        pairs.append((documents + noise[0] + difference, documents + noise[1]))
    return pairs


def test_the_95_percent_interval_covers_a_known_difference_in_93_to_97_percent_of_1000_simulations():
    covered = 0
    for seed, (a, b) in enumerate(simulated_pairs(0.3)):
        low, high = paired_difference_of_means(a, b, seed=seed, n_resamples=1_000).ci95
        covered += low <= 0.3 <= high
    assert 0.93 <= covered / N_SIMULATIONS <= 0.97, covered


def test_without_a_difference_4_to_6_percent_of_1000_permutation_tests_say_there_is_one():
    p_values = [
        paired_permutation_p_value(a, b, seed=seed, n_permutations=999)
        for seed, (a, b) in enumerate(simulated_pairs(0.0))
    ]
    false_positives = np.mean(np.array(p_values) < 0.05)
    assert 0.04 <= false_positives <= 0.06, false_positives


def test_few_pairs_are_tested_exactly():
    a, b = np.array([3.0, 1.0, 4.0, 1.0, 7.0]), np.array([2.0, 1.5, 1.0, 1.0, 2.0])
    differences = a - b
    signs = list(itertools.product((1, -1), repeat=5))
    expected = np.mean([abs((np.array(one) * differences).sum()) >= abs(differences.sum()) - 1e-12 for one in signs])
    assert paired_permutation_p_value(a, b) == pytest.approx(expected, abs=1e-12)
    assert paired_permutation_p_value(b, a) == pytest.approx(expected, abs=1e-12)
    assert paired_permutation_p_value(a, a) == 1.0


def test_a_ratio_is_tested_on_sums_and_not_on_means_of_documents():
    """One long document decides a token-weighted figure: swapping it swaps the sign, so nothing is shown."""
    bits_a, bits_b = np.ones(30), np.ones(30)
    n_bytes = np.ones(30)
    bits_a[0], bits_b[0], n_bytes[0] = 5_000.0, 9_000.0, 4_000.0
    bits_a[1:] += np.linspace(-0.01, 0.01, 29)
    a, b = np.stack([bits_a, n_bytes], axis=1), np.stack([bits_b, n_bytes], axis=1)
    assert permutation_test_of_sums(a, b, lambda sums: sums[0] / sums[1]).p_value > 0.4


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="in pairs"):
        paired_permutation_p_value([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="finite"):
        paired_permutation_p_value([1.0, np.nan], [1.0, 2.0])


def test_holm_is_the_textbook_example():
    """Four p-values: 0.005 * 4, 0.01 * 3, then 0.03 * 2, and 0.04 not below it."""
    corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert corrected == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({"only": 0.7}) == {"only": 0.7}
    assert holm({"x": 0.9, "y": 0.8}) == {"x": 1.0, "y": 1.0}
