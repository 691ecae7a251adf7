"""Base and adapter, pushed to a Hub and named there, answer as their folders do, at every revision.

The programs run one after the other in one child process, whose cache of the Hub is empty at its start.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.hub_server.real_client import ClientError, RealClient
from tests.hub_server.server import LocalHub
from tests.training.data.preference_models import adapter_on

ROWS = [
    {"instruction": f"Write a function f{n}", "input": "", "output": f"def f{n}(x):\n    return x + {n}"}
    for n in range(8)
]


@dataclass(frozen=True)
class Published:
    """ann/base and ann/adapter on a Hub: both are tagged v1, and main has other weights. `folders` are copies of the
    four by their names there, adapters naming the folder of the base that they were trained on: ann/base@v1."""

    hub: LocalHub
    child: RealClient
    folders: dict[str, Path]
    rows: Path

    def run(self, program: str, *arguments: str | Path) -> None:
        """`main` of a program; a `ClientError` for what it refuses."""
        code = "import importlib; importlib.import_module(program).main(arguments)"
        self.child.run(code, program=f"pipelines.{program}", arguments=[str(one) for one in arguments])

    @property
    def first_base(self) -> str:
        """The commit that ann/base@v1 is."""
        return self.hub.repository("ann/base").tags["v1"]


def with_other_weights(folder: Path, copy: Path, weights: str) -> Path:
    shutil.copytree(folder, copy)
    torch.manual_seed(2)
    tensors = {name: tensor + 0.1 * torch.randn_like(tensor) for name, tensor in load_file(folder / weights).items()}
    save_file(tensors, copy / weights, {"format": "pt"})
    return copy


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def push(hub: LocalHub, child: RealClient, repo: str, folder: Path, tag: str | None = None) -> str:
    """The commit that `folder` becomes on main."""
    code = "answer = api.upload_folder(repo_id=repo, folder_path=folder).oid"
    commit = str(child.run(code, repo=repo, folder=str(folder)))
    if tag:
        hub.repository(repo).tags[tag] = commit
    return commit


@pytest.fixture(scope="module")
def published(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    root = tmp_path_factory.mktemp("published")
    first = adapter_on(tiny_model_folder, root / "adapter-1")
    folders = {
        "ann/base@v1": tiny_model_folder,
        "ann/base": with_other_weights(tiny_model_folder, root / "base-2", "model.safetensors"),
        "ann/adapter@v1": first,
        "ann/adapter": with_other_weights(first, root / "adapter-2", "adapter_model.safetensors"),
    }
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    with LocalHub(root / "hub") as hub, RealClient(hub.environment(hub.add_user("ann"))) as child:
        child.run("[api.create_repo(repo, private=True) for repo in ('ann/base', 'ann/adapter')]")
        commit = push(hub, child, "ann/base", folders["ann/base@v1"], tag="v1")
        push(hub, child, "ann/base", folders["ann/base"])
        for name in ("ann/adapter@v1", "ann/adapter"):
            shutil.copytree(folders[name], root / name)
        on_base = {"base_model_name_or_path": "ann/base"}
        change_json(root / "ann/adapter@v1/adapter_config.json", **on_base, revision=commit)  # where PEFT puts it
        push(hub, child, "ann/adapter", root / "ann/adapter@v1", tag="v1")
        change_json(root / "ann/adapter/adapter_config.json", **on_base)
        locked = {"name_or_path": "ann/base", "revision": commit, "fingerprint": f"hub:ann/base@{commit}"}
        (root / "ann/adapter/lock.json").write_text(json.dumps({"base": locked}))  # and where a run puts it
        push(hub, child, "ann/adapter", root / "ann/adapter")
        yield Published(hub, child, folders, root / "rows.jsonl")


def answers(published: Published, name: str | Path, output: Path) -> list[dict[str, Any]]:
    shown = ("--prompt", "Write a function f1", "--num_samples", "2", "--max_new_tokens", "12", "--show_probabilities")
    published.run("generate", "--model_name_or_path", name, *shown, "--output", output)
    return [json.loads(line) for line in output.read_text().splitlines()]


@pytest.fixture(scope="module")
def folder_answers(published: Published, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What the four say when they are named by their folders."""
    output = tmp_path_factory.mktemp("answers")
    return {
        name: answers(published, folder, output / f"{number}.jsonl")
        for number, (name, folder) in enumerate(published.folders.items())
    }


@pytest.mark.parametrize("name", ["ann/base", "ann/base@v1", "ann/adapter", "ann/adapter@v1"])
def test_generate_answers_as_from_the_folder(published, folder_answers, tmp_path, name):
    from_hub = answers(published, name, tmp_path / "hub.jsonl")
    assert [other for other, told in folder_answers.items() if told == from_hub] == [name]


def test_perplexity_is_that_of_the_folders_and_models_keep_the_names_they_were_given(published, tmp_path):
    records = []
    for place in ("hub", "folders"):
        name = {one: one if place == "hub" else str(folder) for one, folder in published.folders.items()}
        models = [name["ann/base"], name["ann/base@v1"], name["ann/adapter@v1"]]
        flags = [flag for model in models for flag in ("--model_name_or_path", model)]
        flags += ["--model_name_or_path", name["ann/base@v1"], "--adapter", name["ann/adapter"]]
        published.run("perplexity", *flags, "--dataset", published.rows, "--output", tmp_path / f"{place}.json")
        records.append(json.loads((tmp_path / f"{place}.json").read_text()))
    from_hub, from_folders = ([result["nll_nats"] for result in record["results"]] for record in records)
    assert from_hub == from_folders
    assert len(set(from_hub)) == 5  # the base is read with and without the template
    assert [(result["model"], result["path"]) for result in records[0]["results"]] == [
        ("base", "ann/base"),
        ("base", "ann/base"),
        ("base@v1", "ann/base@v1"),
        ("adapter@v1", "ann/adapter@v1"),
        ("adapter", "ann/adapter"),
    ]


def test_an_adapter_on_another_commit_of_its_base_is_refused(published, tmp_path):
    record = tmp_path / "scores.json"
    score = ("score", "--adapter", "ann/adapter", "--text", "def f1(x):", "--output", record, "--model_name_or_path")
    with pytest.raises(ClientError) as refused:
        published.run(*score, "ann/base")
    assert f"trained on ann/base@{published.first_base}, got the base ann/base with other weights" in str(refused.value)
    published.run(*score, "ann/base@v1")
    commit = published.hub.repository("ann/adapter").branches["main"]
    assert json.loads(record.read_text())["model"] == {
        "path": "ann/adapter",
        "fingerprint": f"hub:ann/adapter@{commit}",
        "computed_in": "float64",
    }


def test_a_run_on_a_base_of_the_hub_records_its_commit(published, tmp_path):
    published.run(
        "sft", "--model_name_or_path", "ann/base@v1", "--dataset_name", published.rows, "--use_peft", "true",
        "--max_steps", "1", "--dtype", "float32", "--bf16", "false", "--report_to", "none", "--doctor", "off",
        "--output_dir", tmp_path / "run",
    )  # fmt: skip
    config = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("ann/base", published.first_base)
    base = json.loads((tmp_path / "run" / "lock.json").read_text())["base"]
    assert (base["name_or_path"], base["revision"]) == ("ann/base", published.first_base)
    assert base["fingerprint"] == f"hub:ann/base@{published.first_base}"
    assert answers(published, tmp_path / "run", tmp_path / "answers.jsonl")


def test_an_adapter_is_merged_into_its_base_of_the_hub_at_the_commit_it_stands_on(published, folder_answers, tmp_path):
    published.run(
        "merge", "--adapter", "ann/adapter", "--output", tmp_path / "merged", "--prompts", published.rows,
        "--max_new_tokens", "8",
    )  # fmt: skip
    base = json.loads((tmp_path / "merged" / "merge.json").read_text())["base"]
    assert base["fingerprint"] == f"hub:ann/base@{published.first_base}"
    merged, adapter = (
        [[one["text"] for one in row["answers"]] for row in rows]
        for rows in (answers(published, tmp_path / "merged", tmp_path / "answers.jsonl"), folder_answers["ann/adapter"])
    )
    assert merged == adapter
