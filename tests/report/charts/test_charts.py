"""Scales, the curves of a training, and the charts over tokens."""

import copy
import math

import pytest

from pipelines.report.charts.charts import MAX_POINTS, Chart, ceiling, nice_step, training_charts
from pipelines.report.charts.token_charts import position_chart, reliability_chart
from tests.report.samples.sample_records import details
from tests.report.samples.sample_run_records import trainer_state


def loss_chart(history: list[dict[str, float]]) -> Chart:
    chart = training_charts(history)[0]
    assert chart.title == "Loss"
    return chart


@pytest.mark.parametrize(
    ("span", "n_wanted", "step"), [(1.0, 4, 0.25), (174, 5, 50), (2.3, 6, 0.5), (0.03, 4, 0.01), (9.9, 4, 2.5)]
)
def test_steps_are_round(span, n_wanted, step):
    assert nice_step(span, n_wanted) == pytest.approx(step)


@pytest.mark.parametrize(("value", "end"), [(1.244, 1.5), (244.9, 300), (1.0, 1.0), (0, 1), (0.013, 0.015)])
def test_scales_end_at_a_round_number_above_the_largest(value, end):
    assert ceiling(value) == pytest.approx(end)


def test_the_loss_chart_has_both_curves_of_the_log():
    history = trainer_state()["log_history"]
    training, evaluation = loss_chart(history).curves
    logged = [(row["step"], row["loss"]) for row in history if "loss" in row]
    assert training.note.startswith(f"{logged[0][1]:.3f} at step 2, {logged[-1][1]:.3f} at step 174; lowest ")
    assert f"lowest {min(loss for _, loss in logged):.3f} at" in training.note
    assert len(evaluation.points) == sum("eval_loss" in row for row in history)
    assert evaluation.has_marks
    assert all(0 <= number <= 100 for curve in (training, evaluation) for point in curve.points for number in point)
    assert evaluation.points[-1][0] == 100, "the last step is at the right edge"


def test_the_end_token_has_a_chart_from_zero_to_one():
    chart = training_charts(trainer_state()["log_history"])[1]
    assert [tick.label for tick in chart.y_ticks] == ["0.00", "0.25", "0.50", "0.75", "1.00"]
    assert [curve.name for curve in chart.curves] == ["Where answers end", "Inside answers"]
    assert chart.curves[0].points[0][1] == pytest.approx(100 * math.exp(-30 / 40))
    assert "Where answers end: 0.528 at step 30" in chart.summary


def test_ticks_say_where_they_are():
    chart = loss_chart([{"step": 0.5 * step, "loss": 1 + step / 200} for step in range(1, 201)])
    assert [(tick.position, tick.label) for tick in chart.x_ticks] == [
        (0, "0"), (20, "20"), (40, "40"), (60, "60"), (80, "80"), (100, "100"),
    ]  # fmt: skip
    assert chart.y_ticks[0].label == "1.0"
    assert chart.y_ticks[0].position == pytest.approx(100)


def test_a_resumed_step_counts_once_and_nan_is_passed_over():
    chart = loss_chart(
        [{"step": 1, "loss": 9.0}, {"step": 1, "loss": 3.0}, {"step": 2, "loss": math.nan}, {"step": 3, "loss": 2.0}]
    )
    assert chart.curves[0].note == "3.000 at step 1, 2.000 at step 3."


def test_a_constant_loss_can_be_drawn():
    chart = loss_chart([{"step": step, "loss": 2.0} for step in (1, 2, 3)])
    assert {y for _, y in chart.curves[0].points} != {math.nan}


def test_fewer_than_two_losses_are_no_curve():
    assert training_charts([]) == []
    assert training_charts([{"step": 1, "loss": 2.0}, {"step": 1, "train_loss": 2.0}]) == []


def test_a_long_log_is_thinned_but_its_ends_are_told_exactly():
    chart = loss_chart([{"step": step, "loss": 1 / step} for step in range(1, 50_001)])
    assert len(chart.curves[0].points) <= MAX_POINTS
    assert chart.curves[0].note.startswith("1.000 at step 1, 0.000 at step 50,000")


def test_points_stand_where_the_ticks_say():
    chart = loss_chart([{"step": step, "loss": loss} for step, loss in ((10, 3.0), (20, 2.5), (40, 1.0))])
    at = {float(tick.label): tick.position for tick in chart.y_ticks}
    assert [y for _, y in chart.curves[0].points] == pytest.approx([at[3.0], at[2.5], at[1.0]])
    assert [x for x, _ in chart.curves[0].points] == pytest.approx([25, 50, 100])


def test_likelihood_by_position_has_intervals_and_every_figure_in_its_table():
    chart = position_chart(details()["likelihood_by_position"], ["base", "instruct"])
    assert chart is not None
    assert [tick.label for tick in chart.x_ticks] == ["1–4", "5–8", "9–16", "17–32", "33+"]
    base, instruct = chart.curves
    assert base.points[0][1] == pytest.approx(100 - 100 * 3.4 / 4)
    assert (base.whiskers[0].top, base.whiskers[0].bottom) == pytest.approx((10, 20))
    assert base.points[0][0] < instruct.points[0][0], "whiskers stand side by side"
    assert "base from 3.40 to 2.20; instruct from 2.60 to 1.40" in chart.summary
    assert chart.table is not None
    assert [cell.text for cell in chart.table.rows[0]] == ["1–4", "3.40 [3.20, 3.60]", "2.60 [2.40, 2.80]"]


def test_reliability_stands_on_the_diagonal_where_a_model_is_as_sure_as_right():
    bins = copy.deepcopy(details()["reliability"])
    bins["base"][0] |= {"confidence": 0.25, "accuracy": 0.25}
    bins["base"][1] |= {"n_tokens": 0, "confidence": None, "accuracy": None}
    chart = reliability_chart(bins, ["base", "instruct"])
    assert chart is not None
    assert chart.has_diagonal
    assert chart.curves[0].points[0] == (25, 75)
    assert [len(curve.points) for curve in chart.curves] == [4, 5]
    assert chart.table is not None
    assert [cell.text for cell in chart.table.rows[0]] == ["base", "0.0% and 20.0%", "25.0%", "25.0%", "500"]


@pytest.mark.parametrize("bins", [None, {}, {"base": []}])
def test_without_bins_there_is_no_chart(bins):
    assert position_chart(bins, ["base"]) is None
    assert reliability_chart(bins, ["base"]) is None
