"""What a second run gave: the same bits, losses as near as circumstances let expect, or not reproduced."""

import json
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.reproduction.differences import Difference, Kind
from pipelines.reproduction.outcome import Outcome, Verdict, loss_difference, outcome, refuse_unfinished
from tests.run_files import lock

OTHER_VERSION = [Difference("version of torch", "1", "2", Kind.CIRCUMSTANCE)]


def compared(found: list[Difference], **changes: Any) -> Outcome:
    locked = lock()["result"]
    return outcome(locked, locked | changes, found, tolerance=0.02)


@pytest.mark.parametrize("found", [[], OTHER_VERSION])
def test_the_same_weights_and_losses_are_bit_identical_wherever_they_came_from(found):
    result = compared(found)
    assert result.verdict is Verdict.BIT_IDENTICAL
    assert result.lines()[-1] == "bit-identical"
    assert "equal at 2 logged steps" in result.lines()[1]


def test_a_loss_nearby_is_enough_only_where_something_differed_before():
    near = {"weights_sha256": "sha256:x", "loss_curve": [[1, 2.0], [2, 1.015]]}
    assert compared(OTHER_VERSION, **near).verdict is Verdict.WITHIN_TOLERANCE
    alone = compared([], **near)
    assert alone.verdict is Verdict.DIFFERS
    assert "the same versions, code and machine" in alone.why_not()
    assert "0.015 nats at step 2, 1.000% of the mean" in alone.why_not()


def test_with_other_inputs_no_loss_is_near_enough():
    result = compared([*OTHER_VERSION, Difference("base", "1", "2", Kind.INPUT)], weights_sha256="sha256:x")
    assert result.verdict is Verdict.DIFFERS
    assert result.why_not().startswith("not reproduced with other inputs: ")


@pytest.mark.parametrize("curve", [[[1, 2.0], [2, 1.1]], [[1, 2.0]], [[1, 2.0], [2, 1.0], [3, 0.5]], []])
def test_losses_too_far_away_or_at_other_steps_are_not_reproduced(curve):
    assert compared(OTHER_VERSION, weights_sha256="sha256:x", loss_curve=curve).verdict is Verdict.DIFFERS


def test_equal_losses_with_other_weights_are_not_bit_identical():
    result = compared([], weights_sha256="sha256:x")
    assert result.verdict is Verdict.DIFFERS
    assert "sha256:w in the lock, sha256:x here" in result.why_not()


def test_metrics_that_differ_are_said_but_not_how_long_it_took():
    result = compared([], metrics={"train_loss": 1.25, "train_runtime": 9.0, "held_out": {"margin": 1}})
    assert result.metrics == {"train_loss": (1.5, 1.25), "held_out.margin": (None, 1)}
    assert "train_loss: 1.5 in the lock, 1.25 here" in result.lines()


def test_the_record_can_be_read_back():
    record = json.loads(json.dumps(compared(OTHER_VERSION, weights_sha256="sha256:x").to_json()))
    assert record["verdict"] == "within tolerance"
    assert record["differences"] == [{"what": "version of torch", "locked": "1", "here": "2", "kind": "circumstance"}]
    assert record["weights_sha256"] == {"locked": "sha256:w", "here": "sha256:x"}


def test_the_largest_difference_is_found_with_its_step():
    found = loss_difference([[10, 3.0], [20, 2.0], [30, 1.0]], [[10, 3.0], [20, 1.5], [40, 1.0]])
    assert (found.n_steps, found.n_unpaired, found.largest, found.at_step) == (2, 2, 0.5, 20)
    assert found.share == 0.25


def test_a_lock_without_a_result_cannot_be_compared_with():
    with pytest.raises(UserError, match="and has no result"):
        refuse_unfinished(lock(result=None))
