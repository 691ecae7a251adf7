"""A checkpoint of a run is a model for every program that takes one: whole, with the records of its run above it."""

import importlib
import json
import shutil
from pathlib import Path

import pytest

from pipelines import compare, generate, perplexity
from pipelines.errors import UserError
from pipelines.evaluation.prompts.run_prompts import prompts_of_run
from pipelines.hub.model_ref import model_fingerprint, resolve_model
from pipelines.merging import proof as proving
from tests.merging.adapters import read_here
from tests.run_files import read_json, read_jsonl


@pytest.fixture(scope="module")
def run(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the chain's run, with an adapter_config.json that names no base in its checkpoints."""
    return Path(shutil.copytree(chain / "instruct", tmp_path_factory.mktemp("runs") / "my-run"))


@pytest.fixture
def torn(run: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(run, tmp_path / "torn"))
    weights = copy / "checkpoint-3" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    return copy / "checkpoint-3"


def programs(model: str, base: str, rows: str, output: str) -> dict[str, list[str]]:
    """What each program is asked about `model`."""
    compared = ["--base", base, "--instruct", model]
    return {
        "compare": [*compared, "--prompts", rows, "--output", output],
        "perplexity": ["--model_name_or_path", base, "--adapter", model, "--dataset", rows],
        "generate": ["--model_name_or_path", model, "--prompt", "Hello"],
        "score": ["--model_name_or_path", model, "--text", "Hello"],
        "benchmark": [*compared, "--tasks", "arc_easy", "--output", output],
        "playground": compared,
        "merge": ["--adapter", model, "--output", output],
        "check_served": ["--url", "http://127.0.0.1:1/v1", "--run", model],
        "sft": ["--model_name_or_path", base, "--adapter_name_or_path", model, "--dataset_name", rows,
                "--output_dir", output],
        "dpo": ["--adapter_name_or_path", model, "--dataset_name", rows, "--output_dir", output],
        "pretrain": ["--model_name_or_path", model, "--dataset_name", rows, "--output_dir", output],
        "doctor": ["--config", f"{Path(rows).parent}/sft.yaml", "--adapter_name_or_path", model,
                   "--dataset_name", rows],
    }  # fmt: skip


PROGRAMS = list(programs("", "", "", ""))


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_torn_checkpoint_is_refused_in_one_line(program, torn, chain, tmp_path):
    asked = programs(str(torn), str(chain / "base"), str(chain / "instructions"), str(tmp_path / "out"))[program]
    with pytest.raises(UserError) as refused:
        importlib.import_module(f"pipelines.{program}").main(asked)
    assert f"{torn} is not whole: adapter_model.safetensors has" in str(refused.value)
    assert "name another one (checkpoint-6)" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("program", "asked"), [("push", ["--repo_id", "me/it", "--dry_run"]), ("reproduce", [])])
def test_what_needs_a_whole_run_names_it(program, asked, run):
    with pytest.raises(UserError, match=rf"checkpoint-3 is a checkpoint, expected the folder of a run; name {run}"):
        importlib.import_module(f"pipelines.{program}").main([str(run / "checkpoint-3"), *asked])


def test_a_checkpoint_is_compared_with_the_records_of_its_run(run, chain, tmp_path):
    output = tmp_path / "out"
    compare.main(["--base", str(chain / "base"), "--instruct", str(run / "checkpoint-3"), "--num_samples", "0",
                  "--prompts", str(chain / "instructions"), "--limit", "4", "--max_new_tokens", "8",
                  "--base_few_shot", "0", "--output", str(output)])  # fmt: skip
    model = read_json(output / "comparison.json")["models"]["instruct"]
    assert (model["step"], model["path"]) == (3, str(run / "checkpoint-3"))
    assert model["prompt_style"] == "chat"
    assert model["fingerprint"] == model_fingerprint(str(run / "checkpoint-3")) != model_fingerprint(str(run))
    page = (output / "report.md").read_text()
    assert "my-run/checkpoint-3, after step 3 of its run, an adapter on base" in page
    page = (output / "report.html").read_text()
    assert "train_loss" not in page  # of the whole run


def test_its_base_and_its_held_out_rows_are_those_of_the_run(run, chain):
    config = read_json(run / "checkpoint-3" / "adapter_config.json")
    model = resolve_model(str(run / "checkpoint-3"))
    assert (model.base, config["base_model_name_or_path"]) == (str(chain / "base"), str(chain / "base"))
    of_run, of_checkpoint = (prompts_of_run(str(one), None, "test", 0) for one in (run, run / "checkpoint-3"))
    assert of_checkpoint == of_run
    assert of_run[1] == f"validation split of {chain / 'instructions'}"


def test_another_base_than_the_runs_is_refused(run, chain, tmp_path):
    other = Path(shutil.copytree(chain / "base", tmp_path / "other"))
    config = other / "config.json"
    config.write_text(config.read_text().replace("{", '{"note": 1,', 1))
    with pytest.raises(UserError, match=r"another model .* locked: sha256"):
        resolve_model(str(other), str(run / "checkpoint-3"))


def test_several_checkpoints_are_measured_in_one_call(run, chain, tmp_path):
    perplexity.main([*(word for step in (3, 6) for word in ("--model_name_or_path", str(run / f"checkpoint-{step}"))),
                     "--dataset", str(chain / "instructions"), "--output", str(tmp_path / "p.json")])  # fmt: skip
    assert {one["model"] for one in read_json(tmp_path / "p.json")["results"]} == {"checkpoint-3", "checkpoint-6"}


def test_a_checkpoint_answers_and_is_merged(run, tmp_path, monkeypatch):
    from pipelines import merge

    monkeypatch.setattr(proving, "in_fresh_process", read_here)
    asked = ["--prompt", "Write a Python function add_1(x)", "--max_new_tokens", "8"]
    merge.main(["--adapter", str(run / "checkpoint-3"), "--output", str(tmp_path / "merged"), "--limit", "3",
                "--max_new_tokens", "4"])  # fmt: skip
    assert "validation split of" in json.dumps(read_json(tmp_path / "merged" / "merge.json")["proof"])
    for name, model in (("checkpoint", run / "checkpoint-3"), ("merged", tmp_path / "merged")):
        generate.main(["--model_name_or_path", str(model), *asked, "--output", str(tmp_path / f"{name}.jsonl")])
    lines = [read_jsonl(tmp_path / f"{name}.jsonl")[0]["answers"] for name in ("checkpoint", "merged")]
    assert lines[0] == lines[1]


def test_a_folder_of_that_name_that_is_in_no_run_is_a_plain_model(run, tmp_path):
    alone = Path(shutil.copytree(run / "checkpoint-3", tmp_path / "checkpoint-3"))
    (alone / "checkpoint.json").unlink()
    assert resolve_model(str(alone)).adapter == str(alone)
