import pytest

from pipelines.evaluation.judge.endpoint import JudgeEndpoint
from pipelines.evaluation.judge.judgements import Judgement, Winner, judge_record

BASE, INSTRUCT, TIE = Winner.BASE, Winner.INSTRUCT, Winner.TIE
ENDPOINT = JudgeEndpoint("https://judge.example.com/v1", "m", "secret-key")


def test_ties_count_half_and_an_order_that_says_tie_takes_a_win_away() -> None:
    judged = [Judgement(INSTRUCT, INSTRUCT)] * 5 + [Judgement(BASE, BASE)] * 2 + [Judgement(INSTRUCT, TIE)] * 3
    found = judge_record({"a": judged}, ENDPOINT)["models"]["a"]
    assert (found["n_wins"], found["n_ties"], found["n_losses"]) == (5, 3, 2)
    assert found["win_share"]["value"] == pytest.approx(0.65)
    assert found["agreement_with_itself"]["value"] == pytest.approx(0.7)


@pytest.mark.parametrize("winner", [INSTRUCT, BASE, TIE])
def test_judgements_that_are_all_alike_still_have_an_interval(winner: Winner) -> None:
    found = judge_record({"a": [Judgement(winner, winner)] * 30}, ENDPOINT)["models"]["a"]["win_share"]
    assert found["ci95"][1] - found["ci95"][0] > 0.05
    assert found["ci95"][0] - 1e-9 <= found["value"] <= found["ci95"][1] + 1e-9


def test_without_any_verdict_there_are_no_figures_and_every_pair_is_an_error() -> None:
    record = judge_record({"a": [Judgement(None, BASE)] * 3, "b": [Judgement(BASE, BASE)]}, ENDPOINT)
    assert (record["n"], record["n_errors"]) == (4, 3)
    assert record["models"]["a"]["win_share"] is None
    assert record["models"]["a"]["agreement_with_itself"] is None
    assert record["models"]["b"]["n_losses"] == 1
    assert "secret" not in str(record)
    assert record["url_host"] == "judge.example.com"
