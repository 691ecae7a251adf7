"""Scales and the loss curve."""

import math

import pytest

from pipelines.report.charts import MAX_POINTS, ceiling, loss_chart, nice_step
from tests.report.sample_records import trainer_state


@pytest.mark.parametrize(
    ("span", "n_wanted", "step"), [(1.0, 4, 0.25), (174, 5, 50), (2.3, 6, 0.5), (0.03, 4, 0.01), (9.9, 4, 2.5)]
)
def test_steps_are_round(span: float, n_wanted: int, step: float) -> None:
    assert nice_step(span, n_wanted) == pytest.approx(step)


@pytest.mark.parametrize(("value", "end"), [(1.244, 1.5), (244.9, 300), (1.0, 1.0), (0, 1), (0.013, 0.015)])
def test_scales_end_at_a_round_number_above_the_largest(value: float, end: float) -> None:
    assert ceiling(value) == pytest.approx(end)


def test_the_loss_chart_has_both_curves_of_the_log() -> None:
    history = trainer_state()["log_history"]
    chart = loss_chart(history)
    assert chart is not None
    training, evaluation = chart.curves
    logged = [(row["step"], row["loss"]) for row in history if "loss" in row]
    assert (training.first, training.last) == (logged[0], logged[-1])
    assert training.lowest == min(logged, key=lambda point: point[1])
    assert len(evaluation.points) == sum("eval_loss" in row for row in history)
    assert all(0 <= number <= 100 for curve in chart.curves for point in curve.points for number in point)
    assert evaluation.points[-1][0] == 100, "the last step is at the right edge"


def test_ticks_say_where_they_are() -> None:
    chart = loss_chart([{"step": 0.5 * step, "loss": 1 + step / 200} for step in range(1, 201)])
    assert chart is not None
    assert [(tick.position, tick.label) for tick in chart.x_ticks] == [
        (0, "0"), (20, "20"), (40, "40"), (60, "60"), (80, "80"), (100, "100"),
    ]  # fmt: skip
    assert chart.y_ticks[0].label == "1.0"
    assert chart.y_ticks[0].position == pytest.approx(100)


def test_a_resumed_step_counts_once_and_nan_is_passed_over() -> None:
    chart = loss_chart(
        [{"step": 1, "loss": 9.0}, {"step": 1, "loss": 3.0}, {"step": 2, "loss": math.nan}, {"step": 3, "loss": 2.0}]
    )
    assert chart is not None
    assert (chart.curves[0].first, chart.curves[0].last) == ((1, 3.0), (3, 2.0))


def test_a_constant_loss_can_be_drawn() -> None:
    chart = loss_chart([{"step": step, "loss": 2.0} for step in (1, 2, 3)])
    assert chart is not None
    assert {y for _, y in chart.curves[0].points} != {math.nan}


def test_fewer_than_two_losses_are_no_curve() -> None:
    assert loss_chart([]) is None
    assert loss_chart([{"step": 1, "loss": 2.0}, {"step": 1, "train_loss": 2.0}]) is None


def test_a_long_log_is_thinned_but_its_ends_are_told_exactly() -> None:
    chart = loss_chart([{"step": step, "loss": 1 / step} for step in range(1, 50_001)])
    assert chart is not None
    assert len(chart.curves[0].points) <= MAX_POINTS
    assert chart.curves[0].first == (1, 1.0)
    assert chart.curves[0].last == (50_000, 1 / 50_000)


def test_points_stand_where_the_ticks_say() -> None:
    chart = loss_chart([{"step": step, "loss": loss} for step, loss in ((10, 3.0), (20, 2.5), (40, 1.0))])
    assert chart is not None
    at = {float(tick.label): tick.position for tick in chart.y_ticks}
    assert [y for _, y in chart.curves[0].points] == pytest.approx([at[3.0], at[2.5], at[1.0]])
    assert [x for x, _ in chart.curves[0].points] == pytest.approx([25, 50, 100])
