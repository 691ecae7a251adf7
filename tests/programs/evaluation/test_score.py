import csv
import json
import math

import pytest

from pipelines.errors import UserError
from pipelines.evaluation.likelihood.likelihood import TokenLogProbability
from pipelines.evaluation.perplexity.text_scores import (
    Pair,
    TextScore,
    pair_shares,
    pairs_json,
    ranking,
    score_texts,
    scores_table,
)
from pipelines.inference.loading import load_for_inference
from pipelines.score import main
from tests.evaluation.plain_likelihood import plain_nll

GOOD, BAD = "The sky is blue.", "A sky was the blue."


def test_good_english_is_ranked_over_bad_and_totals_are_exact(run_cli, shared_data, tmp_path):
    folder, output = shared_data / "models" / "hf-babyllama-tok361", tmp_path / "score.json"
    done = run_cli(
        "pipelines/score.py", "--model_name_or_path", folder, "--text", BAD, "--text", GOOD, "--output", output
    )
    record = json.loads(output.read_text())
    assert record["ranking"] == [1, 0]
    lines = [line for line in done.stdout.splitlines() if line[:3] in ("1. ", "2. ")]
    assert [GOOD in lines[0], BAD in lines[1]] == [True, True]
    exact = load_for_inference(str(folder), dtype="float64")
    for text, score in zip([BAD, GOOD], record["texts"], strict=True):
        assert score["log_prob"] == pytest.approx(-plain_nll(exact, text, exact.tokenizer.bos_token_id), abs=1e-5)
        assert score["log_prob"] == pytest.approx(sum(token["log_prob"] for token in score["tokens"]), abs=1e-5)
        assert score["bits_per_byte"] == pytest.approx(-score["log_prob"] / math.log(2) / len(text.encode()))


def test_a_file_gives_one_text_for_each_line(tiny_model_folder, tmp_path, capsys):
    (tmp_path / "texts.txt").write_text("return x\n\nx return y\r\n")
    main(["--model_name_or_path", str(tiny_model_folder), "--file", str(tmp_path / "texts.txt")])
    printed = capsys.readouterr().out
    assert "'return x'\n" in printed
    assert "'x return y'\n" in printed
    assert "2. log p" in printed


PAIRS = [
    {"good": GOOD, "bad": BAD, "category": "articles"},
    {"good": "Once upon a time, there was a girl.", "bad": "Once upon a time, there was girl a.", "category": "order"},
    {"good": "ky. The is sblue", "bad": "The sky.", "category": "order"},
    {"good": "Lily ate cake.", "bad": "Lily ate cake.", "category": None},
]


def test_pairs_are_counted_in_which_the_good_text_is_likelier(shared_data, tmp_path, capsys):
    folder, output = str(shared_data / "models" / "hf-babyllama-tok361"), tmp_path / "pairs.json"
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    flags = ["--model_name_or_path", folder, "--pairs", str(tmp_path / "pairs.jsonl"), "--batch_size", "3"]
    main([*flags, "--output", str(output)])
    record = json.loads(output.read_text())
    exact = load_for_inference(folder, dtype="float64")
    for pair, scored in zip(PAIRS, record["pairs"], strict=True):
        for side in ("good", "bad"):
            expected = -plain_nll(exact, pair[side], exact.tokenizer.bos_token_id)
            assert scored[side]["log_prob"] == pytest.approx(expected, rel=1e-6)
    likelier = [scored["good_is_likelier"]["total"] for scored in record["pairs"]]
    assert likelier == [True, True, False, False], "a tie is no success"
    shares = record["shares"]
    assert (shares["n_pairs"], shares["total"]["value"], shares["total"]["n"]) == (4, 0.5, 4)
    assert shares["total"]["ci95"] == pytest.approx([0.15, 0.85], abs=0.001)
    assert {name: one["total"]["n"] for name, one in shares["categories"].items()} == {"articles": 1, "order": 2}
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].startswith("(all)     4  50.0% [15.0%, 85.0%]")
    assert len(printed) == 1 + 3 + 1


def test_a_longer_good_text_wins_by_the_averages_though_not_by_the_total():
    good, bad = (
        TextScore("x" * n, tuple(TokenLogProbability("x", 1, log_prob, place, place + 1) for place in range(n)))
        for n, log_prob in ((4, -1.0), (2, -1.5))
    )
    found = pair_shares([Pair("xxxx", "xx"), Pair("xx", "xxxx")], [good, bad, bad, good])
    assert [item["good_is_likelier"] for item in pairs_json([Pair("xxxx", "xx")], [good, bad])] == [
        {"total": False, "per_token": True, "per_byte": True}
    ]
    assert [found[length]["value"] for length in ("total", "per_token", "per_byte")] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_the_tables_are_a_file_of_tokens_if_its_name_says_so(tiny_model_folder, tmp_path, capsys, suffix):
    output = tmp_path / f"tokens{suffix}"
    texts = ['a, "b"\n😀', "return x"]
    main(["--model_name_or_path", str(tiny_model_folder), *(part for text in texts for part in ("--text", text)),
          "--output", str(output)])  # fmt: skip
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file)) if suffix == ".csv" else [json.loads(line) for line in file]
    [first, second] = score_texts(load_for_inference(str(tiny_model_folder), dtype="float64"), texts)
    assert [row["token"] for row in rows] == [token.token for score in (first, second) for token in score.tokens]
    assert [float(row["log_prob"]) for row in rows[: len(first.tokens)]] == [one.log_prob for one in first.tokens]
    last = rows[-1]
    assert (int(last["text"]), int(last["place"]), int(last["end_byte"])) == (2, len(second.tokens), 8)
    assert float(last["sum"]) == pytest.approx(second.log_prob)
    assert "token " not in capsys.readouterr().out, "what is written is not printed too"


def test_the_table_has_each_token_with_its_probability_and_the_sum_so_far():
    tokens = (TokenLogProbability("a", 1, None, 0, 1), TokenLogProbability("\n", 2, math.log(0.5), 1, 2))
    score = TextScore("a\n", (*tokens, TokenLogProbability("b", 3, math.log(0.25), 2, 3)))
    assert [line.split() for line in scores_table(score).splitlines()] == [
        ["token", "log", "p", "p", "sum"], ["'a'", "-", "-", "0.0000"], ["'\\n'", "-0.6931", "0.5", "-0.6931"],
        ["'b'", "-1.3863", "0.25", "-2.0794"],
    ]  # fmt: skip
    assert (score.n_tokens, score.n_bytes, score.bits_per_byte) == (2, 2, pytest.approx(1.5))


def test_texts_whose_first_token_has_no_probability_are_not_ranked():
    score = TextScore("ab", (TokenLogProbability("a", 1, None, 0, 1), TokenLogProbability("b", 2, -1.0, 1, 2)))
    assert ranking([score]) == [0]
    with pytest.raises(UserError, match="the tokenizer has no BOS or EOS token"):
        ranking([score, score])


@pytest.mark.parametrize(("flags", "message"), [
    ([], "one of the arguments --text --file --pairs is required"),
    (["--text", "a", "--file", "f"], "not allowed with argument"), (["--text", ""], "a --text is empty"),
    (["--file", "{folder}/none.txt"], "--file .*none.txt does not exist"),
    (["--file", "{folder}/blank.txt"], "blank.txt has no text"),
    (["--text", "a", "--batch_size", "0"], "'0' is not a whole number above 0"),
    (["--pairs", "{folder}/pairs.jsonl"], "row 2 of .* has the columns good, expected the texts `good` and `bad`"),
    (["--text", "a", "--output", "{folder}/blank.txt"], "blank.txt exists; choose another"),
    (["--text", "a", "--output", "{folder}/new.txt"], "new.txt, expected .json, .csv or .jsonl at the end"),
])  # fmt: skip
def test_wrong_texts_are_refused(tiny_model_folder, tmp_path, flags, message):
    (tmp_path / "blank.txt").write_text("\n \n")
    (tmp_path / "pairs.jsonl").write_text('{"good": "a", "bad": "b"}\n{"good": "a", "bad": ""}\n')
    with pytest.raises(UserError, match=message):
        main(["--model_name_or_path", str(tiny_model_folder), *(flag.format(folder=tmp_path) for flag in flags)])
    assert (tmp_path / "blank.txt").read_text() == "\n \n"
