"""The prompts of a run: its held-out rows, also for the model merged from it."""

import pytest

from data_prep import build_instructions
from pipelines.evaluation.prompts.run_prompts import FALLBACK_PROMPTS, prompts_of_run
from pipelines.files import write_json_atomically
from tests.run_files import write_jsonl


@pytest.fixture
def run(tmp_path, capsys):
    rows = [{"instruction": f"Name the number after {n}, in words.", "output": f"It is {n + 1}."} for n in range(40)]
    source = write_jsonl(tmp_path / "rows.jsonl", rows)
    splits = ["--validation_size", "0.2", "--test_size", "0.2", "--output", str(tmp_path / "dataset")]
    build_instructions.main(["--source", str(source), *splits])
    capsys.readouterr()
    folder = tmp_path / "run"
    folder.mkdir()
    write_json_atomically(folder / "run.json", {"recipe": {"dataset_name": str(tmp_path / "dataset")}})
    return folder


def merged(folder, adapter):
    folder.mkdir()
    write_json_atomically(folder / "merge.json", {"kind": "merge", "adapters": [{"name_or_path": str(adapter)}]})
    return folder


def test_a_run_and_the_model_merged_from_it_have_the_same_held_out_prompts(run, tmp_path):
    prompts, source = prompts_of_run(str(run), None, "test", 0)
    assert source == f"validation split of {tmp_path / 'dataset'}"
    assert prompts
    assert prompts_of_run(str(merged(tmp_path / "merged", run)), None, "test", 0) == (prompts, source)


def test_a_merged_model_whose_adapter_is_gone_has_the_fallback_prompts(tmp_path):
    prompts, source = prompts_of_run(str(merged(tmp_path / "merged", tmp_path / "gone")), None, "test", 0)
    assert (len(prompts), source) == (len(FALLBACK_PROMPTS), "fallback prompts")
