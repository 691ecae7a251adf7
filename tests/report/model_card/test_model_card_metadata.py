"""The card's YAML, parsed back by huggingface_hub, is what the records say."""

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import ModelCardData, model_index_to_eval_results

from pipelines.report.model_card.writing import model_card
from tests.report.samples.sample_card import COMMIT, change_run, lock, write_card_records
from tests.report.samples.sample_records import write_json


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A comparison folder and a run folder with every record."""
    return write_card_records(tmp_path_factory.mktemp("card"), 8)


@pytest.fixture(scope="module")
def text(folders: tuple[Path, Path]) -> str:
    """The card of `folders`."""
    return model_card(
        folders[1], comparison_folder=folders[0], repo_id="me/my-model", base_model="org/base", revision="step-000100"
    )


def metadata(text: str) -> ModelCardData:
    """What huggingface_hub reads in a card."""
    data = ModelCard(text).data
    assert isinstance(data, ModelCardData)
    return data


def test_base_library_task_license_and_tags_are_the_runs(text):
    found = metadata(text).to_dict()
    assert {key: value for key, value in found.items() if key != "model-index"} == {
        "base_model": "org/base",
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "license": "apache-2.0",
        "tags": ["base2instruct", "trl", "sft", "lora", "transformers"],
    }


def test_each_measure_is_a_result_with_the_records_value(text, folders):
    record = json.loads((folders[0] / "comparison.json").read_text())
    results = metadata(text).eval_results
    assert results
    values = {one.metric_type: one.metric_value for one in results if one.dataset_type == "functions"}
    assert values == {name: one["value"] for name, one in record["models"]["instruct"]["metrics"].items()}
    one = next(one for one in results if one.metric_type == "response_bits_per_byte")
    assert (one.metric_name, one.dataset_name, one.dataset_split) == ("response bits per byte", "functions", "test")
    assert one.source_url == "https://huggingface.co/me/my-model/blob/step-000100/comparison.json"


def test_each_benchmark_task_is_a_result_too(text):
    results = metadata(text).eval_results
    assert results
    tasks = [(one.dataset_type, one.metric_type, one.metric_value) for one in results if one.dataset_args]
    assert tasks == [("arc_easy", "acc", 0.29), ("wikitext", "bits_per_byte", 1.064)]


def test_the_metadata_survive_a_round_trip(text):
    card = ModelCard(text)
    assert str(card) == text
    index = card.data.to_dict()["model-index"]
    name, results = model_index_to_eval_results(index)
    again = ModelCardData(model_name=name, eval_results=results)
    assert name == "my-model"
    assert again.to_dict()["model-index"] == index
    assert yaml.safe_load(card.data.to_yaml()) == card.data.to_dict()


def test_a_full_model_is_a_finetune_for_transformers(folders, tmp_path):
    run = json.loads((folders[1] / "run.json").read_text())
    base = {"path": "org/base", "fingerprint": f"hub:org/base@{COMMIT}"}
    write_json(tmp_path / "run.json", run | {"base": base})
    found = metadata(model_card(tmp_path, repo_id="me/full"))
    assert (found.library_name, found.base_model, found.get("base_model_relation")) == (
        "transformers", "org/base", "finetune",
    )  # fmt: skip
    assert found.tags == ["base2instruct", "trl", "sft"]


@pytest.mark.parametrize(("path", "name"), [(".", "prompts"), (r"C:\Users\grete\rows", "rows"), ("data/rows/", "rows")])
def test_prompts_of_a_folder_have_its_last_part_as_their_name(tmp_path, path, name):
    compared, trained = write_card_records(tmp_path, 2)
    record = json.loads((compared / "comparison.json").read_text())
    write_json(compared / "comparison.json", record | {"prompts": record["prompts"] | {"path": path}})
    card = model_card(trained, comparison_folder=compared)
    results = metadata(card).eval_results or []
    assert {one.dataset_type for one in results if not one.dataset_args} == {name}
    assert "grete" not in card


def test_a_base_in_a_local_folder_is_no_base_model(folders):
    found = metadata(model_card(folders[1]))
    assert found.base_model is None
    assert "base_model_relation" not in found


def test_datasets_are_those_with_a_commit_on_the_hub(tmp_path):
    _, trained = write_card_records(tmp_path, 2)
    train = lock()["datasets"][0]
    parts = [{"path": "org/rows", "revision": COMMIT}, {"path": "data/local", "revision": None}]
    write_json(trained / "lock.json", lock(datasets=[train | {"path": "org/rows + data/local", "parts": parts}]))
    assert metadata(model_card(trained)).datasets == ["org/rows"]
    write_json(trained / "lock.json", lock(datasets=[train | {"path": "org/other", "revision": COMMIT}]))
    assert metadata(model_card(trained)).datasets == ["org/other"]
    write_json(trained / "lock.json", lock())
    assert metadata(model_card(trained)).datasets is None


def test_a_license_that_the_hub_has_no_identifier_for_is_other_with_its_name(tmp_path):
    _, trained = write_card_records(tmp_path, 2)
    base = lock()["base"] | {"license": "Tongyi Qianwen"}
    write_json(trained / "lock.json", lock(base=base))
    found = metadata(model_card(trained))
    assert (found.license, found.license_name) == ("other", "tongyi-qianwen")


def test_a_run_without_a_lock_has_an_unknown_license(tmp_path):
    _, trained = write_card_records(tmp_path, 2)
    (trained / "lock.json").unlink()
    change_run(trained, git_commit="1f2e3d")
    text = model_card(trained)
    assert metadata(text).license == "unknown"
    assert "> **License unknown:** none was recorded for base recipes/quickstart/base and functions." in text
    assert "Inputs of the run (no lock file)" in text
    assert "| git\\_commit | 1f2e3d |" in text
