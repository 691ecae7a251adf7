from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.evaluation.lm_eval.task_files import read_task_file, refuse_code, with_included


def task_file(folder: Path, text: str, name: str = "task.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "process_docs: !function a.b",
        "metric_list:\n- metric: !function a.b",
        "task: x\nclass: !function a.B",
        "doc_to_text: !function a.b\ndoc_to_text: '{{question}}'",
        "first: &it {process_docs: !function a.b}\nsecond:\n  <<: *it",
        "? !function a.b\n: 1",
        "metric_list: [{metric: my_metric}]",
        "metric_list: [{metric: acc, hf_evaluate: true}]",
        "base: &it {metric_list: [{metric: my_metric}]}\n<<: *it",
        "group: g\ntask: [{task: t, metric_list: [{metric: ./script.py}]}]",
        "group: g\ntask: [{task: t, dataset_path: pandas}]",
    ],
)
def test_python_of_a_task_file_is_found_wherever_yaml_lets_it_hide(tmp_path: Path, text: str) -> None:
    found = [read_task_file(task_file(tmp_path, text))]
    with pytest.raises(UserError, match=r"task.yaml.*--trust_task_code"):
        refuse_code(found, tmp_path / "installed", {"acc"})
    refuse_code(found, tmp_path, {"acc"})


@pytest.mark.parametrize("text", ["metric_list: [{metric: acc}]", "group: g\naggregate_metric_list: [{metric: mine}]"])
def test_a_task_file_without_python_passes(tmp_path: Path, text: str) -> None:
    refuse_code([read_task_file(task_file(tmp_path, text))], tmp_path / "installed", {"acc"})


def test_included_files_are_read_each_once_also_behind_a_merge_and_in_a_circle(tmp_path: Path) -> None:
    task_file(tmp_path, "include: [third, task.yaml]", "second")
    task_file(tmp_path, "unsafe_code: true", "third")
    path = task_file(tmp_path, "base: &it {include: second}\n<<: *it")
    files = list(with_included(path))
    assert [file.path.name for file in files] == ["task.yaml", "second", "third"]
    assert [file.runs_answers for file in files] == [False, False, True]


@pytest.mark.parametrize("text", ["- a", "a: [", "a: !!python/name:os.system", "a: 1\n---\nb: 2", "\x00"])
def test_what_is_no_single_plain_mapping_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"task.yaml"):
        read_task_file(task_file(tmp_path, text))
