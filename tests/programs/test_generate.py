"""generate.py as a user runs it."""

import json
from pathlib import Path

import pytest

from pipelines import generate
from pipelines.errors import UserError
from tests.conftest import RunCli, one_line_error
from tests.evaluation.chain_models import save_chain_model


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers `find max` and stops."""
    return save_chain_model(tiny_model_folder, tmp_path_factory.mktemp("chain") / "model", [" find max"], ends=True)


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[str, str]:
    capsys.readouterr()
    generate.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return printed.out, printed.err


def test_the_program_answers_prompts_and_writes_them(run_cli: RunCli, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.jsonl"
    done = run_cli(
        "pipelines/generate.py", "--model_name_or_path", model, "--prompt", "Hello", "--prompt", "World",
        "--max_new_tokens", "8", "--output", output,
    )  # fmt: skip
    assert "=== Hello\n--- answer 1 of 1: 2 tokens, stopped by itself\n find max\n" in done.stdout
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["instruction"] for line in lines] == ["Hello", "World"]
    answer = {"text": " find max", "n_tokens": 2, "stopped": True}
    assert lines[0] == {"instruction": "Hello", "input": "", "prompt_style": "chat", "answers": [answer]}


def test_the_chain_model_is_cut_by_a_low_limit(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "--model_name_or_path", model, "--prompt", "Hello", "--max_new_tokens", "1")
    assert "1 tokens, cut by the token limit" in out


def test_several_samples_of_one_prompt_differ_and_a_seed_repeats_them(
    tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model_name_or_path", tiny_model_folder, "--prompt", "Hi", "--num_samples", "3", "--max_new_tokens", "9"]
    first, again, other = run(capsys, *flags)[0], run(capsys, *flags)[0], run(capsys, *flags, "--seed", "1")[0]
    assert first == again != other
    texts = first.split("--- answer ")[1:]
    assert len(texts) == len({text.partition("\n")[2] for text in texts}) == 3


def test_probabilities_are_listed_for_each_token_with_five_alternatives(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "answers.jsonl"
    flags = ["--model_name_or_path", model, "--prompt", "Hello", "--show_probabilities", "--output", output]
    out, _ = run(capsys, *flags)
    [answer] = json.loads(output.read_text())["answers"]
    assert [token["token"] for token in answer["tokens"]] == [" find", " max", "<|im_end|>"]
    assert all(0.99 < token["probability"] < 1 and len(token["alternatives"]) == 5 for token in answer["tokens"])
    assert " 0.9998  ' find'" in out


def test_plain_prompts_are_continued_without_the_template(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "answers.jsonl"
    run(capsys, "--model_name_or_path", model, "--prompt", "def find", "--plain", "--output", output)
    line = json.loads(output.read_text())
    assert line["prompt_style"] == "raw"
    assert line["answers"][0]["text"] == " max"


def test_a_model_without_a_template_says_that_it_continues_the_prompt(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "models" / "hf-stories260K"
    out, err = run(capsys, "--model_name_or_path", folder, "--prompt", "Once upon a time", "--max_new_tokens", "9")
    assert "the model has no chat template, so it continues the prompts as they are" in err
    assert ", there was a little girl" in out


def test_a_file_of_prompts_is_answered_with_its_inputs(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"instruction": "Add.", "input": "1 2"}\n{"prompt": "Say."}\n')
    out, _ = run(capsys, "--model_name_or_path", model, "--prompts", prompts)
    assert out.count("--- answer 1 of 1") == 2
    assert "=== Add.\n1 2\n" in out


def test_help_is_the_manual_and_comes_fast(run_cli: RunCli) -> None:
    assert "python pipelines/generate.py --model_name_or_path" in run_cli("pipelines/generate.py", "--help").stdout


def test_a_missing_model_is_one_line_on_stderr(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli("pipelines/generate.py", "--model_name_or_path", tmp_path / "none", "--prompt", "Hello", expect=2)
    assert one_line_error(done).startswith("error: expected a tokenizer at")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "expected --prompt or --prompts; got neither"),
        (["--prompt", "Hi", "--num_samples", "2", "--temperature", "0"], "expected a temperature above 0 for several"),
        (["--prompt", "Hi", "--top_p", "0"], "expected top_p above 0 and at most 1; got 0.0"),
        (["--prompts", "none.jsonl"], "expected a readable file at none.jsonl; got no such file or directory"),
        (["--prompt", "Hi", "--max_length", "7"], "expected the flags that --help lists; got unrecognized arguments"),
    ],
)
def test_wrong_use_is_refused_before_a_model_is_loaded(flags: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        generate.main(["--model_name_or_path", "does/not/exist", *flags])
    assert str(error.value).startswith(message)


def test_an_existing_output_is_not_overwritten(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.jsonl"
    output.write_text("mine")
    with pytest.raises(UserError, match="to be new or empty"):
        generate.main(["--model_name_or_path", str(model), "--prompt", "Hi", "--output", str(output)])
    assert output.read_text() == "mine"
