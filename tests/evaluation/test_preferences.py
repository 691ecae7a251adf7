"""Accuracies on pairs, computed by hand."""

import numpy as np
import pytest

from pipelines.evaluation.preferences import preference_line, preference_metrics


def scores(chosen: list[float], rejected: list[float], reference: list[float]) -> dict[str, np.ndarray]:
    n = len(chosen)
    return {
        "chosen": np.array(chosen),
        "rejected": np.array(rejected),
        "reference_chosen": np.array(reference[:n]),
        "reference_rejected": np.array(reference[n:]),
        "n_chosen": np.array([10.0, 2.0, 4.0, 4.0]),
        "n_rejected": np.array([2.0, 10.0, 4.0, 4.0]),
    }


CHOSEN, REJECTED = [-8.0, -2.0, -4.0, -5.0], [-4.0, -8.0, -4.0, -4.0]
BEFORE = scores(CHOSEN, REJECTED, CHOSEN + REJECTED)
AFTER = scores([-6.0, -2.0, -3.0, -6.0], [-8.0, -8.0, -4.0, -4.0], CHOSEN + REJECTED)


def test_the_figures_are_those_of_the_definition() -> None:
    metrics = preference_metrics(BEFORE, AFTER, beta=0.5)
    assert metrics["likelihood_accuracy"]["before"]["value"] == 0.25
    assert metrics["likelihood_accuracy"]["after"]["value"] == 0.75
    assert metrics["likelihood_accuracy"]["difference"]["value"] == 0.5
    assert metrics["likelihood_accuracy_normalised"]["before"]["value"] == 0.25  # -0.8 > -2.0 and -1.0 < -0.8
    assert metrics["reward_accuracy"]["after"]["value"] == 0.5
    assert metrics["reward_accuracy"]["after"]["n_ties"] == 1
    assert metrics["reward_margin"]["after"]["value"] == pytest.approx(0.5 * (6 + 0 + 1 - 1) / 4)


def test_before_training_every_margin_is_a_tie_and_no_accuracy_is_claimed() -> None:
    metrics = preference_metrics(BEFORE, AFTER, beta=0.5)
    assert metrics["reward_accuracy"]["before"] == {"value": None, "n": 4, "n_ties": 4}
    assert metrics["largest_gap_to_reference_before"] == 0
    assert metrics["reward_accuracy"]["difference_from_chance"]["value"] == 0


def test_one_pair_has_figures_without_a_bootstrap() -> None:
    one = {name: values[:1] for name, values in AFTER.items()}
    assert preference_metrics(one, one, beta=0.1)["reward_margin"]["after"]["ci95"] is None


def test_the_line_names_n_both_shares_and_the_interval() -> None:
    line = preference_line(preference_metrics(BEFORE, AFTER, beta=0.5))
    assert line.startswith("4 held-out pairs")
    assert "25.0% before and 75.0% after (+50.0 points" in line
    assert "reward accuracy 50.0%" in line
