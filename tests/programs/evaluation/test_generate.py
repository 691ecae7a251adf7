"""generate.py as a user runs it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import generate
from pipelines.errors import UserError
from pipelines.inference.answer_store import Answer, AnswerStore
from pipelines.inference.loading import load_for_inference
from tests.conftest import PROJECT, one_line_error
from tests.evaluation.chain_models import save_chain_model
from tests.loopback_engine import loopback_engine
from tests.run_files import read_json, read_jsonl, write_jsonl

Run = Callable[..., tuple[str, str]]
BASE = "recipes/quickstart/base"


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers `find max` and stops."""
    return save_chain_model(tiny_model_folder, tmp_path_factory.mktemp("chain") / "model", [" find max"], ends=True)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(model: str | Path, *arguments: str | Path) -> tuple[str, str]:
        """What the program prints on stdout and stderr."""
        capsys.readouterr()
        generate.main(["--model_name_or_path", str(model), *map(str, arguments)])
        printed = capsys.readouterr()
        return printed.out, printed.err

    return run


def test_the_program_answers_prompts_and_writes_them(run_cli, model, tmp_path):
    output = tmp_path / "answers.jsonl"
    done = run_cli("pipelines/generate.py", "--model_name_or_path", model, "--prompt", "Hello", "--prompt", "World",
                   "--max_new_tokens", "8", "--output", output)  # fmt: skip
    assert "=== Hello\n--- answer 1 of 1: 2 tokens, stopped on its own\n find max\n" in done.stdout
    lines = read_jsonl(output)
    assert [line["instruction"] for line in lines] == ["Hello", "World"]
    answer = {"text": " find max", "n_tokens": 2, "stopped": True}
    asked = {"instruction": "Hello", "input": "", "messages": [{"role": "user", "content": "Hello"}]}
    assert lines[0] == {**asked, "prompt_style": "chat", "n_prompt_tokens": 24, "answers": [answer]}
    assert not list(tmp_path.glob("*.partial*"))


def test_conversations_are_continued_and_get_the_system_text(tiny_model_folder, tmp_path, run):
    ask, answer = {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}
    rows = [{"messages": [ask, answer, ask, answer]}, {"instruction": "Hello", "output": "x", "system": "Be kind."}]
    flags = [tiny_model_folder, "--prompts", write_jsonl(tmp_path / "rows.jsonl", rows), "--max_new_tokens", "4"]
    out, _ = run(*flags, "--system", "Be brief.", "--output", tmp_path / "out.jsonl")
    assert "=== system: Be brief.\n=== user: Hello\n=== assistant: Hi.\n=== user: Hello\n--- answer 1 of 1" in out
    first, second = read_jsonl(tmp_path / "out.jsonl")
    assert first["messages"] == [{"role": "system", "content": "Be brief."}, ask, answer, ask]
    assert second["messages"] == [{"role": "system", "content": "Be kind."}, ask]
    run(*flags, "--output", tmp_path / "without.jsonl")
    assert read_jsonl(tmp_path / "without.jsonl")[0]["n_prompt_tokens"] < first["n_prompt_tokens"]


def test_several_samples_of_one_prompt_differ_and_a_seed_repeats_them(tiny_model_folder, run):
    flags = [tiny_model_folder, "--prompt", "Hi", "--num_samples", "3", "--max_new_tokens", "9"]
    first, again, other = run(*flags)[0], run(*flags)[0], run(*flags, "--seed", "1")[0]
    assert first == again != other
    texts = first.split("--- answer ")[1:]
    assert len(texts) == len({text.partition("\n")[2] for text in texts}) == 3


def test_probabilities_are_listed_for_each_token_with_five_alternatives(model, tmp_path, run):
    out, _ = run(model, "--prompt", "Hello", "--show_probabilities", "--output", tmp_path / "a.jsonl")
    [answer] = read_json(tmp_path / "a.jsonl")["answers"]
    assert [token["token"] for token in answer["tokens"]] == [" find", " max", "<|im_end|>"]
    assert all(0.99 < token["probability"] < 1 and len(token["alternatives"]) == 5 for token in answer["tokens"])
    assert " 0.9998  ' find'" in out


def test_plain_prompts_are_continued_without_the_template(model, tmp_path, run):
    run(model, "--prompt", "def find", "--plain", "--output", tmp_path / "a.jsonl")
    line = read_json(tmp_path / "a.jsonl")
    assert (line["prompt_style"], line["answers"][0]["text"]) == ("raw", " max")


def test_a_model_without_a_template_says_that_it_continues_the_prompt(shared_data, run):
    folder = shared_data / "models" / "hf-stories260K"
    out, err = run(folder, "--prompt", "Once upon a time", "--max_new_tokens", "9")
    assert "the model has no chat template, so it continues the prompts as they are" in err
    assert ", there was a little girl" in out


def test_a_file_of_prompts_is_answered_with_its_inputs(model, tmp_path, run):
    rows = [{"instruction": "Add.", "input": "1 2"}, {"prompt": "Say."}]
    out, _ = run(model, "--prompts", write_jsonl(tmp_path / "prompts.jsonl", rows))
    assert out.count("--- answer 1 of 1") == 2
    assert "=== Add.\n1 2\n" in out


def test_a_missing_model_is_one_line_on_stderr(run_cli, tmp_path):
    done = run_cli("pipelines/generate.py", "--model_name_or_path", tmp_path / "none", "--prompt", "Hello", expect=2)
    assert one_line_error(done).startswith("error: there is no folder")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "no prompt; give at least one with --prompt"),
        (["--prompt", "Hi", "--num_samples", "2", "--temperature", "0"], "temperature is 0 for 2 samples"),
        (["--prompt", "Hi", "--top_p", "0"], "argument --top_p: '0' is not above 0 and at most 1"),
        (["--prompts", "none.jsonl"], "none.jsonl does not exist"),
        (["--prompt", "Hi", "--max_length", "7"], "unknown argument: --max_length 7"),
        (["--prompt", "Hi", "--resume"], "--resume needs --output"),
    ],
)
def test_wrong_use_is_refused_before_a_model_is_loaded(flags, message):
    with pytest.raises(UserError) as error:
        generate.main(["--model_name_or_path", BASE, *flags])
    assert str(error.value).startswith(message)


def test_an_existing_output_is_not_overwritten(model, tmp_path):
    output = tmp_path / "answers.jsonl"
    output.write_text("mine")
    with pytest.raises(UserError, match=r"exists|is not empty"):
        generate.main(["--model_name_or_path", str(model), "--prompt", "Hi", "--output", str(output)])
    assert output.read_text() == "mine"


def test_a_prompt_that_fills_the_model_is_reported(model, tmp_path, run):
    output = tmp_path / "answers.jsonl"
    out, err = run(model, "--plain", "--prompt", "x" * 256, "--prompt", "y" * 250, "--output", output)
    assert "model: 1 of 2 prompts fill its 256 positions: empty answers" in err
    assert "model: 1 of 2 prompts leave less room than 256 new tokens" in err
    assert "answer 1 of 1: 0 tokens, no room after a prompt of 256 tokens" in out
    assert [line["n_prompt_tokens"] for line in read_jsonl(output)] == [256, 250]


def test_a_killed_call_is_resumed(tiny_model_folder, tmp_path, run, monkeypatch):
    output, partial, uninterrupted = (tmp_path / name for name in ("a.jsonl", "a.jsonl.partial", "b.jsonl"))
    prompts = write_jsonl(tmp_path / "prompts.jsonl", ({"prompt": f"Say {n}."} for n in range(160)))
    flags = [str(tiny_model_folder), "--prompts", str(prompts), "--batch_size", "8", "--max_new_tokens", "40"]
    flags += ["--temperature", "1"]
    command = [sys.executable, "pipelines/generate.py", "--model_name_or_path", *flags, "--output", str(output)]
    running = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (partial.is_file() and partial.read_bytes().count(b"\n") >= 40):
        assert running.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert not output.exists()
    n_kept = partial.read_bytes().count(b"\n")
    with pytest.raises(UserError, match=rf"a.jsonl.partial has {n_kept} answers .*; add --resume"):
        run(*flags, "--output", output)
    added: list[str] = []
    add = AnswerStore.add
    monkeypatch.setattr(AnswerStore, "add", lambda store, fresh: (added.extend(fresh), add(store, fresh)))
    _, err = run(*flags, "--output", output, "--resume")
    assert f"{n_kept} of 160 answers were finished before" in err
    assert len(added) == len(set(added)) == 160 - n_kept < 160
    assert not partial.exists()
    run(*flags, "--output", uninterrupted)
    assert output.read_text() == uninterrupted.read_text()


def test_two_processes_answer_as_one_does(tiny_model_folder, tmp_path, run, run_cli):
    rows = [{"prompt": "Say " + "x" * (n % 7)} for n in range(21)]
    flags = [str(tiny_model_folder), "--prompts", str(write_jsonl(tmp_path / "prompts.jsonl", rows))]
    flags += ["--max_new_tokens", "24"]
    calls = {"greedy": flags, "sampled": [*flags, "--num_samples", "2", "--seed", "4"]}
    AnswerStore(tmp_path / "sampled.jsonl.partial.7").add({"of another call": Answer("", 0, False, ())})
    script = tmp_path / "script.py"
    script.write_text(
        "from pipelines import generate\nfrom pipelines.command_line import run_program\n"
        f"def main(_):\n    for name, call in {calls!r}.items():\n"
        f"        output = f'{tmp_path}/{{name}}.jsonl'\n"
        "        generate.main(['--model_name_or_path', *call, '--output', output, '--resume'])\nrun_program(main)\n"
    )
    done = run_cli(script, n_processes=2)
    assert done.stdout.count("=== Say \n") == 2 * 3  # printed by one process
    assert sorted(path.name for path in tmp_path.glob("*.jsonl*")) == ["greedy.jsonl", "prompts.jsonl", "sampled.jsonl"]
    for name, call in calls.items():
        run(*call, "--output", tmp_path / "alone.jsonl")
        assert (tmp_path / f"{name}.jsonl").read_text() == (tmp_path / "alone.jsonl").read_text()
        (tmp_path / "alone.jsonl").unlink()


def test_a_server_answers_with_the_same_output_and_the_engine_in_each_line(run, model, tmp_path):
    flags = ["--prompt", "Hello", "--max_new_tokens", "8", "--output"]
    with loopback_engine(load_for_inference(str(model))) as engine:
        there, _ = run(model, *flags, tmp_path / "there.jsonl", "--engine", engine.url)
        [line] = read_jsonl(tmp_path / "there.jsonl")
        assert line.pop("engine") == {"name": "unknown", "host": engine.url[7:-3], "model": "served"}
        with pytest.raises(UserError, match="--chat_template is given with --engine"):
            run(model, "--prompt", "a", "--engine", engine.url, "--chat_template", str(model))
        with pytest.raises(UserError, match="no model 'other'; it lists served"):
            run(model, "--prompt", "a", "--engine", engine.url, "--engine_model", "other")
    here, _ = run(model, *flags, tmp_path / "here.jsonl")
    assert (there, [line]) == (here, read_jsonl(tmp_path / "here.jsonl"))
