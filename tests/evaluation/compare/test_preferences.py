"""Accuracies on pairs, computed by hand."""

import numpy as np
import pytest

from pipelines.evaluation.compare.preferences import pair_groups, preference_line, preference_metrics


def scores(chosen: list[float], rejected: list[float], reference: list[float]) -> dict[str, np.ndarray]:
    n = len(chosen)
    return {
        "chosen": np.array(chosen), "rejected": np.array(rejected), "reference_chosen": np.array(reference[:n]),
        "reference_rejected": np.array(reference[n:]), "n_chosen": np.array([10.0, 2.0, 4.0, 4.0]),
        "n_rejected": np.array([2.0, 10.0, 4.0, 4.0]),
    }  # fmt: skip


CHOSEN, REJECTED = [-8.0, -2.0, -4.0, -5.0], [-4.0, -8.0, -4.0, -4.0]
BEFORE = scores(CHOSEN, REJECTED, CHOSEN + REJECTED)
AFTER = scores([-6.0, -2.0, -3.0, -6.0], [-8.0, -8.0, -4.0, -4.0], CHOSEN + REJECTED)


def test_the_figures_are_those_of_the_definition():
    metrics = preference_metrics(BEFORE, AFTER, beta=0.5)
    assert metrics["likelihood_accuracy"]["before"]["value"] == 0.25
    assert metrics["likelihood_accuracy"]["after"]["value"] == 0.75
    assert metrics["likelihood_accuracy"]["difference"]["value"] == 0.5
    assert metrics["likelihood_accuracy_normalised"]["before"]["value"] == 0.25  # -0.8 > -2.0 and -1.0 < -0.8
    assert (metrics["reward_accuracy"]["after"]["value"], metrics["reward_accuracy"]["after"]["n_ties"]) == (0.5, 1)
    assert metrics["reward_margin"]["after"]["value"] == pytest.approx(0.5 * (6 + 0 + 1 - 1) / 4)


def test_before_training_every_margin_is_a_tie_and_no_accuracy_is_claimed():
    metrics = preference_metrics(BEFORE, AFTER, beta=0.5)
    assert metrics["reward_accuracy"]["before"] == {"value": None, "n": 4, "n_ties": 4}
    assert metrics["largest_gap_to_reference_before"] == 0
    assert metrics["reward_accuracy"]["difference_from_chance"]["value"] == 0


def test_one_pair_has_figures_without_a_bootstrap():
    one = {name: values[:1] for name, values in AFTER.items()}
    assert preference_metrics(one, one, beta=0.1)["reward_margin"]["after"]["ci95"] is None


def test_the_line_names_n_both_shares_and_the_interval():
    line = preference_line(preference_metrics(BEFORE, AFTER, beta=0.5))
    assert line.startswith("4 held-out pairs")
    assert "25.0% before and 75.0% after (+50.0 points" in line
    assert "reward accuracy 50.0%" in line


def test_pairs_of_one_group_or_of_equal_prompts_are_resampled_together():
    rows = [{"prompt": f"Say {number // 2}.", "chosen": "a", "rejected": str(number)} for number in range(8)]
    labels = pair_groups(rows, {0, 3})
    assert len(labels) == 6
    assert [labels.index(label) for label in labels] == [0, 1, 2, 2, 4, 4], "rows 1 and 2 have lost their partners"
    rows = [{**row, "group": "tree"} for row in rows[:2]] + rows[2:]
    assert pair_groups(rows, ())[:2] == ["tree", "tree"]


def test_figures_of_grouped_pairs_count_their_groups_and_are_wider():
    n = 40
    generator = np.random.default_rng(1)
    margins = np.repeat(generator.normal(0.5, 1.0, n // 4), 4)
    scores = {
        "chosen": margins, "rejected": np.zeros(n), "reference_chosen": np.zeros(n), "reference_rejected": np.zeros(n),
        "n_chosen": np.ones(n), "n_rejected": np.ones(n),
    }  # fmt: skip
    alone = preference_metrics(scores, scores, beta=0.5)
    grouped = preference_metrics(scores, scores, beta=0.5, groups=[number // 4 for number in range(n)])
    for found in (grouped["likelihood_accuracy"]["after"], grouped["reward_margin"]["after"]):
        assert (found["n"], found["n_groups"]) == (n, 10)
    one, other = alone["reward_margin"]["after"], grouped["reward_margin"]["after"]
    assert one["value"] == other["value"]
    assert np.diff(other["ci95"])[0] > 1.8 * np.diff(one["ci95"])[0]
