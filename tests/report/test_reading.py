"""Records that are missing or broken are one-line errors that name the file."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.report import write_report
from tests.report.samples.sample_records import write_json

_OPTIONAL = ("training", "likelihood", "categories", "benchmarks", "judge", "overlaps")


@pytest.fixture
def folder(few: Path, tmp_path: Path) -> Path:
    """A comparison folder that a test may break."""
    return Path(shutil.copytree(few, tmp_path / "compare", ignore=shutil.ignore_patterns("report.*")))


def test_a_missing_comparison_says_so(tmp_path):
    with pytest.raises(UserError, match=r"comparison\.json"):
        write_report(tmp_path)


def test_missing_responses_say_so(folder):
    (folder / "responses.jsonl").unlink()
    with pytest.raises(UserError, match=r"responses\.jsonl"):
        write_report(folder)


def test_broken_json_names_the_line(folder):
    (folder / "comparison.json").write_text('{"kind": "comparison",\n oops}')
    with pytest.raises(UserError, match=r"comparison\.json is not valid JSON: .* on line 2"):
        write_report(folder)


def _remove(*path: str) -> Callable[[dict[str, Any]], object]:
    def change(record: dict[str, Any]) -> object:
        for key in path[:-1]:
            record = record[key]
        return record.pop(path[-1])

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_remove("models"), "no key 'models'"),
        (_remove("created"), "no key 'created'"),
        (_remove("metric_definitions", "parses", "unit"), "no key 'unit'"),
        (_remove("models", "base", "metrics", "parses", "ci95"), "no key 'ci95'"),
        (lambda record: record.update(kind="perplexity"), "kind 'perplexity' instead of 'comparison'"),
        (lambda record: record["models"]["base"].update(role="instruct"), "0 models of role 'base'"),
        (lambda record: record["models"]["instruct"].update(role="base"), "2 models of role 'base'"),
        (lambda record: record["metric_definitions"]["parses"].update(unit="furlongs"), "'furlongs'"),
        (lambda record: record["models"]["base"]["metrics"]["parses"].update(ci95=[0.1]), "not enough values"),
        (lambda record: record["differences"]["instruct"]["parses"].update(verdict="superb"), "'superb'"),
        (lambda record: record["flips"]["instruct"]["parses"].pop("lost"), "no key 'lost'"),
        (lambda record: record["details"]["longest_overlaps"][0].pop("row"), "no key 'row'"),
        (lambda record: record["details"]["reliability"]["base"][0].pop("accuracy"), "no key 'accuracy'"),
        (lambda record: record["judge"].pop("models"), "no key 'models'"),
        (lambda record: record["models"]["base"]["metrics"]["parses"].update(value=float("nan")), "not finite"),
        (lambda record: record.update(models=[]), "'list' object has no attribute 'items'"),
    ],
)
def test_a_record_with_a_hole_is_refused(folder, change, message):
    record = json.loads((folder / "comparison.json").read_text())
    change(record)
    write_json(folder / "comparison.json", record)
    with pytest.raises(UserError) as caught:
        write_report(folder)
    assert "is broken: " in caught.value.problem
    assert message in caught.value.problem
    assert "\n" not in str(caught.value)
    assert not list(folder.glob("report.*")), "nothing is written from a broken record"


@pytest.mark.parametrize("hole", ["instruction", "answers", "id"])
def test_a_response_with_a_hole_is_refused(folder, hole):
    lines = (folder / "responses.jsonl").read_text().splitlines()
    row = json.loads(lines[3])
    del row[hole]
    (folder / "responses.jsonl").write_text("\n".join([*lines[:3], json.dumps(row)]))
    with pytest.raises(UserError, match=rf"responses\.jsonl is broken: no key '{hole}'"):
        write_report(folder)


@pytest.mark.parametrize("content", ["[]", '{"results": [{}]}', '{"results": 3}', "{"])
def test_a_broken_optional_record_is_refused_too(folder, content):
    (folder / "perplexity.json").write_text(content)
    with pytest.raises(UserError, match=r"perplexity\.json"):
        write_report(folder)


@pytest.mark.parametrize("content", ["[]", '{"results": [{}], "models": {}}', '{"results": []}'])
def test_a_broken_benchmark_is_refused_too(folder, content):
    (folder / "benchmark.json").write_text(content)
    with pytest.raises(UserError, match=r"benchmark\.json"):
        write_report(folder)


def test_broken_training_samples_are_refused_too(folder, tmp_path):
    (tmp_path / "samples.jsonl").write_text('{"step": 3}\n')
    with pytest.raises(UserError, match=r"samples\.jsonl is broken: no key"):
        write_report(folder, tmp_path)


def test_a_broken_loss_log_is_refused_too(folder, tmp_path):
    write_json(tmp_path / "trainer_state.json", {"log_history": [1, 2]})
    with pytest.raises(UserError, match=r"trainer_state\.json"):
        write_report(folder, tmp_path)


def test_a_run_folder_that_is_not_there_is_refused(folder):
    with pytest.raises(UserError, match="there is no run folder"):
        write_report(folder, folder / "nowhere")


def test_missing_optional_records_leave_their_sections_out(folder, tmp_path):
    (folder / "perplexity.json").unlink()
    (folder / "benchmark.json").unlink()
    record = json.loads((folder / "comparison.json").read_text())
    record = copy.deepcopy(record) | {"base_prompt_styles": {}}
    for key in ("sentences", "flips", "categories", "details", "judge", "run_code"):
        del record[key]
    write_json(folder / "comparison.json", record)
    (tmp_path / "empty").mkdir()
    for run_folder in (None, tmp_path / "empty"):
        html, markdown = (path.read_text() for path in write_report(folder, run_folder))
        for left_out in (*(f'id="{name}"' for name in _OPTIONAL), "Training</h3>", "Recipe</h3>", "training rows"):
            assert left_out not in html
        assert "## Categories" not in markdown
        assert "## Benchmarks" not in markdown
        for kept in ('id="measures"', 'id="answers"', "Comparison</h3>", "Versions</h3>"):
            assert kept in html


def test_a_metric_that_applied_to_no_prompt_is_left_out(folder):
    record = json.loads((folder / "comparison.json").read_text())
    record["models"]["base"]["metrics"]["parses"] = {"n": 0, "value": None, "ci95": None}
    record["differences"]["instruct"]["parses"] = {"n": 0, "value": None, "ci95": None}
    write_json(folder / "comparison.json", record)
    assert "| parses (higher" not in write_report(folder)[1].read_text()
