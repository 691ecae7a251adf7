import json

import pytest

from pipelines.endpoint.client import Endpoint
from pipelines.errors import UserError
from pipelines.evaluation.judge.judgements import Judgement, Verdict, Winner, judge_record
from pipelines.evaluation.judge.judging import judge_pairs, judging_cost
from pipelines.evaluation.prompts.prompt import Prompt
from tests.evaluation.judge.judge_server import KEY, Asked, Reply, judge_server, longer_wins, verdict

PROMPTS = [Prompt(number, f"request {number}") for number in range(4)]
BASE = ["short", "a long answer", "same len", "equal"]
INSTRUCT = ["a longer answer", "short", "len same", "equal"]


def test_a_fair_judge_is_asked_in_both_orders_and_both_have_to_agree():
    with judge_server(longer_wins) as server:
        judgements = judge_pairs(PROMPTS, BASE, INSTRUCT, server.endpoint())
        record = judge_record({"instruct": judgements}, server.endpoint())
    assert [one.verdict for one in judgements] == [Verdict.WIN, Verdict.LOSS, Verdict.TIE, Verdict.TIE]
    orders = {(one.first, one.second) for one in server.asked}
    assert len(server.asked) == 6  # the pair of equal answers costs nothing
    assert all((second, first) in orders for first, second in orders)
    found = record["models"]["instruct"]
    assert (found["n_wins"], found["n_ties"], found["n_losses"], found["n_identical"]) == (1, 2, 1, 1)
    assert (found["win_share"]["value"], found["agreement_with_itself"]["value"]) == (0.5, 1.0)
    assert found["agreement_with_itself"]["n"] == 3
    assert (record["n"], record["n_errors"], record["model"]) == (4, 0, "judge-1")
    assert record["url_host"].startswith("127.0.0.1:")
    json.dumps(record, allow_nan=False)


def test_a_judge_that_always_prefers_the_first_answer_shows_no_difference_and_no_agreement():
    prompts = [Prompt(number, "r") for number in range(20)]
    with judge_server(lambda _: verdict("first")) as server:
        judgements = judge_pairs(prompts, [f"b{n}" for n in range(20)], [f"i{n}" for n in range(20)], server.endpoint())
        found = judge_record({"instruct": judgements}, server.endpoint())["models"]["instruct"]
    assert {one.verdict for one in judgements} == {Verdict.TIE}
    assert (judgements[0].base_first, judgements[0].instruct_first) == (Winner.BASE, Winner.INSTRUCT)
    assert (found["agreement_with_itself"]["value"], found["win_share"]["value"]) == (0.0, 0.5)
    low, high = found["win_share"]["ci95"]
    assert 0.4 < low < 0.5 < high < 0.6


def test_unreadable_verdicts_and_failed_calls_are_errors_and_no_verdicts():
    def judge(asked: Asked) -> Reply:
        if "broken" in asked.first + asked.second:
            return Reply(status=500, text=f"down for {asked.authorization}")
        return Reply("I like them both!") if "odd" in asked.first + asked.second else longer_wins(asked)

    with judge_server(judge) as server:
        answers = ["longer", "broken 1", "odd"]
        judgements = judge_pairs(PROMPTS[:3], ["b"] * 3, answers, server.endpoint())
        record = judge_record({"instruct": judgements}, server.endpoint())
    assert [one.verdict for one in judgements] == [Verdict.WIN, None, None]
    assert (record["n"], record["n_errors"]) == (3, 2)
    assert "HTTP 500" in str(judgements[1].error)
    assert "no verdict" in str(judgements[2].error)
    assert KEY not in json.dumps([record, *[one.to_json() for one in judgements]])


def test_a_broken_endpoint_ends_after_one_call_and_one_that_breaks_later_after_ten():
    prompts = [Prompt(number, "r") for number in range(40)]
    answers = [f"i{number}" for number in range(40)]
    with judge_server(lambda _: Reply(status=404, text="no model judge-1")) as server:
        with pytest.raises(UserError, match="HTTP 404: no model judge-1"):
            judge_pairs(prompts, ["b"] * 40, answers, server.endpoint())
        assert len(server.asked) == 1
    with judge_server(lambda _: verdict("tie") if len(server.asked) < 3 else Reply(status=503)) as server:
        with pytest.raises(UserError, match="10 calls in a row"):
            judge_pairs(prompts, ["b"] * 40, answers, server.endpoint(max_tries=1))
        assert len(server.asked) < 40


def test_cached_replies_are_not_asked_for_again_and_an_incomplete_line_is(tmp_path):
    kept = tmp_path / "judge.jsonl"
    with judge_server(longer_wins) as server:
        endpoint = server.endpoint()
        assert ": 6 calls" in judging_cost(PROMPTS, BASE, INSTRUCT, endpoint, kept)
        first = judge_pairs(PROMPTS, BASE, INSTRUCT, endpoint, cache_file=kept)
        text = kept.read_text()
        kept.write_text(text[: len(text) - 20])
        assert ": 1 calls" in judging_cost(PROMPTS, BASE, INSTRUCT, endpoint, kept)
        assert judge_pairs(PROMPTS, BASE, INSTRUCT, endpoint, cache_file=kept) == first
        assert len(server.asked) == 7
        assert judge_pairs(PROMPTS, BASE, INSTRUCT, endpoint, cache_file=kept) == first
        assert len(server.asked) == 7
        assert judge_pairs(PROMPTS[:1], ["other"], ["answer!"], endpoint, cache_file=kept)[0].verdict is Verdict.WIN
        assert len(server.asked) == 9
    assert KEY not in kept.read_text()


def test_a_judgement_for_the_record_has_its_orders_verdict_and_a_short_reason():
    with judge_server(lambda _: verdict("first", "long " * 400)) as server:
        [judgement] = judge_pairs(PROMPTS[:1], ["b"], ["i"], server.endpoint())
    found = json.loads(json.dumps(judgement.to_json()))
    assert (found["base_first"], found["instruct_first"], found["verdict"]) == ("base", "instruct", "tie")
    assert found["reason"].startswith("base first: long")
    assert len(found["reason"]) <= 500


def test_a_key_in_a_reply_or_in_the_cache_is_in_no_record(tmp_path):
    escaped = "".join(f"\\u{ord(one):04x}" for one in KEY)
    kept = tmp_path / "judge.jsonl"
    with judge_server(lambda _: Reply(f'{{"reason": "{escaped}", "winner": "tie"}}')) as server:
        [judgement] = judge_pairs(PROMPTS[:1], ["b"], ["i"], server.endpoint(), cache_file=kept)
        assert judgement.reason == "***"
        replies = [json.loads(json.loads(line)["reply"]) for line in kept.read_text().splitlines()]
        assert [reply["reason"] for reply in replies] == ["***", "***"]
        kept.write_text(kept.read_text().replace("***", KEY))
        [judgement] = judge_pairs(PROMPTS[:1], ["b"], ["i"], server.endpoint(), cache_file=kept)
        assert (judgement.reason, len(server.asked)) == ("***", 2)


ENDPOINT = Endpoint("https://judge.example.com/v1", "m", api_key="secret-key")
BETTER, WORSE, TIE = Winner.INSTRUCT, Winner.BASE, Winner.TIE


def test_ties_count_half_and_an_order_that_says_tie_takes_a_win_away():
    judged = [Judgement(BETTER, BETTER)] * 5 + [Judgement(WORSE, WORSE)] * 2 + [Judgement(BETTER, TIE)] * 3
    found = judge_record({"a": judged}, ENDPOINT)["models"]["a"]
    assert (found["n_wins"], found["n_ties"], found["n_losses"]) == (5, 3, 2)
    assert found["win_share"]["value"] == pytest.approx(0.65)
    assert found["agreement_with_itself"]["value"] == pytest.approx(0.7)


@pytest.mark.parametrize("winner", [BETTER, WORSE, TIE])
def test_equal_judgements_still_have_an_interval(winner):
    found = judge_record({"a": [Judgement(winner, winner)] * 30}, ENDPOINT)["models"]["a"]["win_share"]
    assert found["ci95"][1] - found["ci95"][0] > 0.05
    assert found["ci95"][0] - 1e-9 <= found["value"] <= found["ci95"][1] + 1e-9


def test_without_any_verdict_there_are_no_shares_and_every_pair_is_an_error():
    record = judge_record({"a": [Judgement(None, WORSE)] * 3, "b": [Judgement(WORSE, WORSE)]}, ENDPOINT)
    assert (record["n"], record["n_errors"]) == (4, 3)
    assert record["models"]["a"]["win_share"] is None
    assert record["models"]["a"]["agreement_with_itself"] is None
    assert record["models"]["b"]["n_losses"] == 1
    assert "secret" not in str(record)
    assert record["url_host"] == "judge.example.com"
