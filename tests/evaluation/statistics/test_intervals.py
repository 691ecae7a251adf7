import numpy as np
import pytest

from pipelines.evaluation.statistics.intervals import bootstrap_mean, bootstrap_ratio, paired_difference_of_ratios


def _documents(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    n_tokens = generator.integers(5, 400, size=n).astype(float)
    return n_tokens * generator.normal(3.0, 0.5, size=n), n_tokens


def test_numerator_and_denominator_of_a_document_are_resampled_together():
    nats, n_tokens = _documents()
    estimate = bootstrap_ratio(2.0 * n_tokens, n_tokens)
    assert estimate.ci95 == pytest.approx((2.0, 2.0))
    low, high = bootstrap_ratio(nats, n_tokens).ci95
    assert low < nats.sum() / n_tokens.sum() < high


def test_equal_seeds_give_equal_intervals_and_other_seeds_give_close_ones():
    nats, n_tokens = _documents()
    first, again, other = (bootstrap_ratio(nats, n_tokens, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.ci95 != other.ci95
    assert first.ci95 == pytest.approx(other.ci95, rel=0.01)


def test_many_documents_are_resampled_in_several_chunks_of_bounded_memory(monkeypatch):
    values = np.arange(50.0)
    whole = bootstrap_mean(values, n_resamples=500)
    monkeypatch.setattr("pipelines.evaluation.statistics.intervals._DRAWS_AT_A_TIME", 120)
    assert bootstrap_mean(values, n_resamples=500) == whole


def test_the_interval_of_a_mean_agrees_with_the_normal_one_on_many_values():
    values = np.random.default_rng(1).normal(5.0, 2.0, size=2000)
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert bootstrap_mean(values).ci95 == pytest.approx((values.mean() - error, values.mean() + error), abs=0.1 * error)


def test_a_paired_interval_is_narrower_than_an_unpaired_one_where_documents_are_hard_for_both():
    nats, n_tokens = _documents()
    better = nats - 0.1 * n_tokens * np.random.default_rng(5).random(len(nats))
    paired = paired_difference_of_ratios(better, n_tokens, nats, n_tokens)
    a, b = bootstrap_ratio(better, n_tokens, seed=1), bootstrap_ratio(nats, n_tokens, seed=2)
    unpaired_width = np.hypot(a.ci95[1] - a.ci95[0], b.ci95[1] - b.ci95[0])
    assert paired.value == pytest.approx(a.value - b.value)
    assert paired.ci95[1] < 0
    assert paired.ci95[1] - paired.ci95[0] < 0.2 * unpaired_width


@pytest.mark.parametrize(("numerators", "denominators", "message"), [
    ([1.0], [1.0], "at least two documents, got 1"), ([1.0, 2.0], [1.0, 0.0], "positive denominators"),
    ([1.0, float("nan")], [1.0, 1.0], "NaN or infinity"),
    ([1.0, 2.0], [1.0, 2.0, 3.0], "one number for each document"),
])  # fmt: skip
def test_data_without_an_interval_are_refused(numerators, denominators, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_ratio(numerators, denominators)
