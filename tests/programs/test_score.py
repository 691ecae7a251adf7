import json
import math
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.evaluation.likelihood import TokenLogProbability
from pipelines.evaluation.text_scores import TextScore, ranking, score_text, scores_table
from pipelines.modeling import load_for_inference
from pipelines.score import main
from tests.conftest import RunCli, one_line_error
from tests.evaluation.plain_likelihood import plain_nll

GOOD, BAD = "The sky is blue.", "A sky was the blue."


def test_good_english_is_ranked_over_bad_and_totals_are_exact(
    run_cli: RunCli, shared_data: Path, tmp_path: Path
) -> None:
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


@pytest.mark.parametrize("model", ["hf-babyllama-tok361", "hf-stories260K"])
def test_the_total_is_the_sum_of_an_independent_loop_for_each_model(shared_data: Path, model: str) -> None:
    folder = str(shared_data / "models" / model)
    single, exact = load_for_inference(folder), load_for_inference(folder, dtype="float64")
    for text in (GOOD, BAD, "Lily ate 😀 cake."):
        expected = -plain_nll(exact, text, exact.tokenizer.bos_token_id)
        assert score_text(exact, text).log_prob == pytest.approx(expected, abs=1e-9)
        assert score_text(single, text).log_prob == pytest.approx(expected, rel=1e-6)  # off by 1.1e-5 nats in 42


def test_a_file_gives_one_text_for_each_line(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("return x\n\nx return y\r\n")
    main(["--model_name_or_path", str(tiny_model_folder), "--file", str(tmp_path / "texts.txt")])
    printed = capsys.readouterr().out
    assert "'return x'\n" in printed
    assert "'x return y'\n" in printed
    assert "2. log p" in printed


def test_the_table_has_each_token_with_its_probability_and_the_sum_so_far() -> None:
    tokens = (TokenLogProbability("a", 1, None, 0, 1), TokenLogProbability("\n", 2, math.log(0.5), 1, 2))
    score = TextScore("a\n", (*tokens, TokenLogProbability("b", 3, math.log(0.25), 2, 3)))
    assert [line.split() for line in scores_table(score).splitlines()] == [
        ["token", "log", "p", "p", "sum"],
        ["'a'", "-", "-", "0.0000"],
        ["'\\n'", "-0.6931", "0.5", "-0.6931"],
        ["'b'", "-1.3863", "0.25", "-2.0794"],
    ]
    assert (score.n_tokens, score.n_bytes, score.bits_per_byte) == (2, 2, pytest.approx(1.5))


def test_texts_whose_first_token_has_no_probability_are_not_ranked() -> None:
    score = TextScore("ab", (TokenLogProbability("a", 1, None, 0, 1), TokenLogProbability("b", 2, -1.0, 1, 2)))
    assert ranking([score]) == [0]
    with pytest.raises(UserError, match="a tokenizer with a BOS or EOS token, to rank whole texts"):
        ranking([score, score])


def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli("pipelines/score.py", "--model_name_or_path", tmp_path / "none", "--text", "a", expect=2)
    assert str(tmp_path / "none") in one_line_error(done)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "one of the arguments --text --file is required"),
        (["--text", "a", "--file", "f"], "not allowed with argument"),
        (["--text", ""], "texts that are not empty; got an empty --text"),
        (["--file", "{folder}/none.txt"], "a readable file at .*none.txt; got no such file"),
        (["--file", "{folder}/blank.txt"], "got no text in .*blank.txt"),
        (["--text", "a", "--output", "{folder}/blank.txt"], "blank.txt to be new or empty"),
    ],
)
def test_wrong_texts_are_refused(tiny_model_folder: Path, tmp_path: Path, flags: list[str], message: str) -> None:
    (tmp_path / "blank.txt").write_text("\n \n")
    with pytest.raises(UserError, match=message):
        main(["--model_name_or_path", str(tiny_model_folder), *(flag.format(folder=tmp_path) for flag in flags)])
    assert (tmp_path / "blank.txt").read_text() == "\n \n"
