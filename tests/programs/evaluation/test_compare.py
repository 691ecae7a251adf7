"""compare.py from two model folders to the report, as a user runs it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from data_prep.dataset_folder import DatasetKind, SplitSizes, write_dataset_folder
from pipelines import compare
from pipelines.errors import UserError
from pipelines.evaluation.compare.measuring import DecodingPlan, MeasurementPlan, measure_models
from pipelines.evaluation.prompts.prompt_sets import held_out_prompts
from pipelines.files import read_jsonl
from pipelines.inference.answer_store import AnswerStore
from pipelines.records import read_record
from tests.evaluation.chain_models import save_chain_model
from tests.run_files import write_jsonl

ANSWER = "def find_max(numbers):\n    return 1"


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four prompts for the function, two without a reference, one of them about something else."""
    request = "Write a Python function find_max(numbers)."
    rows = [{"instruction": request, "output": ANSWER, "category": "code"}] * 2
    rows += [{"instruction": request, "input": "Be quick."}, {"prompt": "Name a color."}]
    return write_jsonl(tmp_path_factory.mktemp("prompts") / "prompts.jsonl", rows)


@pytest.fixture(scope="module")
def base(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that says `max(numbers` and then its last token for ever."""
    return save_chain_model(tiny_model_folder, tmp_path_factory.mktemp("models") / "b", ["max(numbers"], ends=False)


@pytest.fixture(scope="module")
def instruct(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instruct model that gives the right answer to everything and stops."""
    return save_chain_model(tiny_model_folder, tmp_path_factory.mktemp("models") / "i", [ANSWER], ends=True)


def run(*arguments: str | Path, output: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    compare.main([*map(str, arguments), "--output", str(output), "--max_new_tokens", "32"])
    return read_record(output / "comparison.json"), list(read_jsonl(output / "responses.jsonl"))


def test_two_models_become_records_and_a_report(run_cli, base, instruct, prompts, tmp_path):
    output = tmp_path / "comparison"
    done = run_cli(
        "pipelines/compare.py", "--base", base, "--instruct", instruct, "--prompts", prompts, "--max_new_tokens", "16",
        "--prompt", "Write a Python function find_max(numbers) <now>", "--output", output,
    )  # fmt: skip
    record = json.loads((output / "comparison.json").read_text())
    assert (record["kind"], record["prompts"]["n"]) == ("comparison", 4)
    figures = {name: model["metrics"] for name, model in record["models"].items()}
    for metric in ("stopped_by_itself", "parses", "defines_requested_name", "takes_requested_parameters"):
        for suffix in ("", "_sampled"):
            assert figures["base"][metric + suffix]["value"] == 0
            assert figures["instruct"][metric + suffix]["value"] == 1
            assert record["differences"]["instruct"][metric + suffix]["value"] == 1
    assert (figures["instruct"]["stopped_by_itself"]["n"], figures["instruct"]["parses"]["n"]) == (4, 3)
    assert figures["instruct"]["response_bits_per_byte"]["n"] == 2
    assert record["differences"]["instruct"]["response_bits_per_byte"]["relative"]["value"] < -0.9
    responses = list(read_jsonl(output / "responses.jsonl"))
    assert responses[0]["instruction"].endswith("<now>")
    answers = responses[1]["answers"]
    assert answers["instruct"]["greedy"]["text"] == ANSWER
    assert answers["base"]["greedy"]["text"].startswith("max(numbers")
    assert {sample["text"] for sample in answers["instruct"]["samples"]} == {ANSWER}
    assert set(record["base_prompt_styles"]) == {"plain", "chat"}
    assert any(name.startswith("instruct: sampled") for name in record["seconds"])
    page = (output / "report.html").read_text()
    assert "find_max(numbers) &lt;now&gt;" in page
    assert done.stdout.splitlines()[-1] == str(output / "report.html")
    assert any(line.startswith("defines the requested name  ") for line in done.stdout.splitlines())


def test_a_model_compared_with_itself_has_all_differences_zero(tiny_model_folder, prompts, tmp_path, capsys):
    bare = Path(shutil.copytree(tiny_model_folder, tmp_path / "bare"))
    (bare / "chat_template.jinja").unlink()
    record, responses = run("--base", bare, "--instruct", bare, "--prompts", prompts, output=tmp_path / "out")
    assert {difference["value"] for difference in record["differences"]["instruct"].values()} == {0}
    assert all(line["answers"]["base"] == line["answers"]["instruct"] for line in responses)
    assert record["flips"]["instruct"] == {}
    assert record["prompts"]["style"] == {"base": "plain", "instruct": "plain"}
    assert f"instruct: no chat template in {bare}" in capsys.readouterr().err
    assert record["sentences"]["instruct"].startswith("no difference at all: equal on every item of all ")
    assert "+0.0 points" in (tmp_path / "out" / "report.md").read_text()


def test_every_turn_of_a_conversation_is_a_prompt_behind_a_given_template(base, instruct, tmp_path):
    ask, answer = {"role": "user", "content": "Write find_max."}, {"role": "assistant", "content": ANSWER}
    rows = [{"messages": [{"role": "system", "content": "Be brief."}, ask, answer, ask, answer]}] * 2
    path, template = write_jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "plain.jinja"
    template.write_text("{% for m in messages %}{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}assistant\n\n")
    flags = ["--base", base, "--instruct", instruct, "--prompts", path, "--num_samples", "0"]
    record, responses = run(*flags, "--all_turns", "--chat_template", template, output=tmp_path / "all")
    assert [record["prompts"][key] for key in ("n", "n_with_system", "n_with_earlier_turns")] == [4, 4, 2]
    assert record["prompts"]["chat_template"]["name"] == "plain.jinja"
    assert record["prompts"]["style"] == {"base": "plain", "instruct": "chat"}
    assert [len(line["messages"]) for line in responses] == [2, 4, 2, 4]
    assert [line["group"] for line in responses] == ["row 1", "row 1", "row 2", "row 2"]
    assert {line["answers"]["instruct"]["greedy"]["text"] for line in responses} == {ANSWER}
    last, _ = run(*flags, output=tmp_path / "last")
    assert last["prompts"]["n"] == 2
    assert last["few_shot"]["why_not"].startswith("rows.jsonl has no training split")


def test_a_broken_instruct_model_is_called_worse(instruct, tmp_path):
    """A random adapter on a model that answers every prompt rightly."""
    model = AutoModelForCausalLM.from_pretrained(instruct)
    torch.manual_seed(0)
    config = LoraConfig(r=8, lora_alpha=10_000, target_modules=["o_proj", "down_proj"], init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(tmp_path / "broken")
    rows = [{"instruction": f"Write a Python function find_max(numbers) {n}.", "output": ANSWER} for n in range(24)]
    flags = ["--prompts", write_jsonl(tmp_path / "many.jsonl", rows), "--num_samples", "0"]
    record, _ = run("--base", instruct, "--instruct", tmp_path / "broken", *flags, output=tmp_path / "out")
    found = record["differences"]["instruct"]
    for metric in ("defines_requested_name", "chrf", "response_bits_per_byte"):
        assert found[metric]["verdict"] == "worse", metric
        assert found[metric]["p_holm"] < 0.05
    assert {record["summary"]["instruct"][one]["verdict"] for one in ("form", "correctness")} == {"worse"}
    assert record["flips"]["instruct"]["defines_requested_name"]["gained"] == []
    assert record["flips"]["instruct"]["defines_requested_name"]["lost"] == list(range(24))


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap (bwrap) is not installed")
def test_code_is_run_only_if_asked(base, instruct, tmp_path):
    rows = [{"instruction": f"Write a Python function find_max(numbers) {n}.", "tests": ["assert find_max([1]) == 1"]}
            for n in range(3)]  # fmt: skip
    flags = ["--base", base, "--instruct", instruct, "--prompts", write_jsonl(tmp_path / "prompts.jsonl", rows)]
    record, _ = run(*flags, output=tmp_path / "parsed")
    assert record["run_code"] is None
    assert not {"runs", "passes_tests", "pass_at_1"} & set(record["metric_definitions"])
    record, responses = run(*flags, "--run_code", output=tmp_path / "ran")
    assert len(record["run_code"]["confinement"]) >= 3
    figures = {name: model["metrics"] for name, model in record["models"].items()}
    for metric in ("runs", "passes_tests", "pass_at_1"):
        assert (figures["base"][metric]["value"], figures["instruct"][metric]["value"]) == (0.0, 1.0), metric
    assert "SyntaxError" in responses[0]["answers"]["base"]["greedy"]["checks"]["why_it_failed"]


def test_what_was_forgotten_and_memorized_is_measured_on_the_files_given(base, instruct, prompts, tmp_path):
    (tmp_path / "general.txt").write_text("The first paragraph.\n\nAnother one.\n\nA third.\n")
    (tmp_path / "pairs.jsonl").write_text('{"good": "a b", "bad": "b a"}\n' * 2)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"instruction": "x", "output": ANSWER}) + "\n")
    flags = ["--general", tmp_path / "general.txt", "--capability", tmp_path / "pairs.jsonl"]
    flags += ["--training_rows", tmp_path / "rows.jsonl"]
    record, _ = run("--base", base, "--instruct", instruct, "--prompts", prompts, *flags, output=tmp_path / "out")
    figures = record["models"]["instruct"]["metrics"]
    assert (figures["general_bits_per_byte"]["n"], figures["capability"]["n"]) == (3, 2)
    assert figures["longest_overlap"]["value"] == len(ANSWER.split())
    assert record["details"]["likelihood_by_position"]["base"][0]["n_tokens"] > 0


def test_an_interrupted_comparison_goes_on_with_resume_and_ends_the_same(base, instruct, prompts, tmp_path, capsys):
    """The answers so far are put where a killed comparison leaves them."""
    flags = ("--base", base, "--instruct", instruct, "--prompts", prompts)
    whole, responses = run(*flags, output=tmp_path / "whole")
    store = AnswerStore(tmp_path / "cut" / "answers.partial.jsonl")
    rendered = held_out_prompts(prompts, "test", limit=None, seed=0)
    plan = MeasurementPlan(DecodingPlan(max_new_tokens=32), dtype="float32", store=store)
    measure_models(str(base), [str(base)], rendered[:2], plan)
    assert len(store) > 0
    with pytest.raises(UserError, match="cut has an interrupted comparison; add --resume"):
        run(*flags, output=tmp_path / "cut")
    capsys.readouterr()
    record, resumed = run(*flags, "--resume", output=tmp_path / "cut")
    assert "base: 1 of 3 answers were finished before" in capsys.readouterr().err  # two prompts are equal
    assert record["models"] == whole["models"]
    assert resumed == responses
    assert not list((tmp_path / "cut").glob("*.partial*"))


def test_the_test_split_of_a_dataset_folder_is_measured(base, instruct, tmp_path):
    rows = [
        {"instruction": f"Write a Python function f{n}(x).", "input": "", "output": f"def f{n}(x): ...", "source": "s",
         "source_row": str(n), "group": f"group {n}"}
        for n in range(40)
    ]  # fmt: skip
    folder = tmp_path / "dataset"
    manifest = write_dataset_folder(
        folder, rows, kind=DatasetKind.INSTRUCTIONS, split_sizes=SplitSizes(0.1, 0.4), seed=0, sources=[], rejected=[],
        command="test", overwrite=False,
    )  # fmt: skip
    flags = ["--base", base, "--instruct", instruct, "--prompts", folder, "--num_samples", "0"]
    record, responses = run(*flags, output=tmp_path / "all")
    n_test = manifest["n_rows"]["test"]
    expected = {"path": str(folder), "split": "test", "sha256": manifest["content_sha256"]["test"], "n": n_test}
    assert record["prompts"].items() >= expected.items()
    assert len(responses) == n_test
    assert "parses_sampled" not in record["metric_definitions"]
    limited, _ = run(*flags, "--limit", "3", output=tmp_path / "limited")
    assert limited["prompts"]["n"] == 3


def test_odd_characters_survive_the_records(tiny_model_folder, base, prompts, tmp_path):
    odd = save_chain_model(tiny_model_folder, tmp_path / "odd", ["</script>\0\x1b\u2028é"], ends=True)
    record, responses = run("--base", base, "--instruct", odd, "--prompts", prompts, output=tmp_path / "out")
    assert responses[0]["answers"]["instruct"]["greedy"]["text"] == "</script>\0\x1b\u2028é"
    assert record["models"]["instruct"]["metrics"]["stopped_by_itself"]["value"] == 1
    assert "</script>\0" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("changes", "message"), [
    ({"--prompts": "none.jsonl"}, "none.jsonl"),
    ({"--prompts": "{folder}"}, "not a dataset folder or a file ending in"),
    ({"--limit": "1"}, "only 1 prompt to measure, expected two or more"),
    ({"--num_samples": "-1"}, "--num_samples: '-1' is not a whole number of 0 or more"),
    ({"--max_new_tokens": "none"}, "--max_new_tokens: 'none' is not a whole number"), ({"--base": "a/b/c"}, "a/b/c"),
    ({"--instruct": "{folder}/no/such/model"}, "no/such/model"), ({"--prompt": " "}, "a --prompt is empty"),
    ({"--perplexity": "{folder}/wrong.json"}, "wrong.json is a record of kind 'run', expected 'perplexity'"),
    ({"--output": "{folder}"}, "is not empty"),
    ({"--judge_url": "http://localhost:1"}, "only one of --judge_url and --judge_model is given"),
])  # fmt: skip
def test_wrong_use_is_an_error_at_once(base, instruct, prompts, tmp_path, changes, message, capsys):
    (tmp_path / "wrong.json").write_text('{"kind": "run"}')
    output = tmp_path / "out"
    flags = {"--base": base, "--instruct": instruct, "--prompts": prompts, "--output": output} | changes
    with pytest.raises(UserError) as error:
        compare.main([str(part).format(folder=tmp_path) for pair in flags.items() for part in pair])
    assert message in str(error.value)
    assert "greedy answers" not in capsys.readouterr().err
    assert not output.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.json"]
    assert (tmp_path / "wrong.json").read_text() == '{"kind": "run"}'


def test_two_processes_compare_as_one_does(base, instruct, prompts, tmp_path, run_cli):
    flags = ["--base", base, "--instruct", instruct, "--prompts", prompts]
    alone, responses = run(*flags, output=tmp_path / "one")
    program = ["pipelines/compare.py", *flags, "--max_new_tokens", "32", "--output", tmp_path / "two"]
    run_cli(*program, n_processes=2)
    record = read_record(tmp_path / "two" / "comparison.json")
    assert (record["n_processes"], list(read_jsonl(tmp_path / "two" / "responses.jsonl"))) == (2, responses)
    assert {key for key in record if record[key] != alone[key]} <= {"created", "seconds", "n_processes"}
