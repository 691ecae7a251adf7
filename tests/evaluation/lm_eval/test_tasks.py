import sys
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.evaluation.lm_eval.tasks import TaskChoice, harness_version, load_tasks
from tests.evaluation.lm_eval.local_tasks import CHOOSING, WRITING, write_rows, write_task

FUNCTION = "process_docs: !function answers.rows"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of tasks with Python next to them that leaves a trace when it runs."""
    write_rows(tmp_path)
    trace = tmp_path / "it_ran"
    (tmp_path / "answers.py").write_text(
        f"import pathlib\npathlib.Path({str(trace)!r}).touch()\ndef rows(rows):\n    return rows\n"
    )
    return tmp_path


def test_without_the_harness_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(UserError, match=r"pip install -e '.\[benchmarks\]'"):
        harness_version()


def test_a_task_file_with_python_of_its_own_runs_only_if_the_user_trusts_it(folder):
    write_task(folder, "coded", f"{FUNCTION}\n{CHOOSING}")
    with pytest.raises(UserError, match=r"!function answers.rows.*--trust_task_code"):
        load_tasks(TaskChoice(["coded"], folder), 0)
    assert not (folder / "it_ran").exists()
    assert list(load_tasks(TaskChoice(["coded"], folder, trust_task_code=True), 0)["tasks"]) == ["coded"]
    assert (folder / "it_ran").exists()


def test_python_is_found_behind_includes_groups_and_tags(folder):
    base = write_task(folder, "hidden", f"{FUNCTION}\n{CHOOSING}").rename(folder / "no_suffix")
    (folder / "including.yaml").write_text(f"include: {base.name}\ntask: including\ntag: tagged\n")
    (folder / "group.yaml").write_text("group: outer\ntask:\n  - group: inner\n    task:\n      - task: including\n")
    for name in ("including", "tagged", "outer", str(folder / "including.yaml")):
        with pytest.raises(UserError, match=r"runs its own Python code: !function answers.rows"):
            load_tasks(TaskChoice([name], folder), 0)
    assert not (folder / "it_ran").exists()


@pytest.mark.parametrize(("own", "what"), [
    (CHOOSING.replace("metric: acc", "metric: ./answers.py"), r"the metric ./answers.py"),
    (CHOOSING.replace("metric: acc", "metric: acc\n    hf_evaluate: true"), "the metric acc"),
    (CHOOSING.replace("metric: acc", "metric: !function answers.rows"), "!function answers.rows"),
    (
        CHOOSING.replace("doc_to_text: ", "doc_to_text: !function answers.rows\ndoc_to_text: "),
        "!function answers.rows",
    ),
    (f"first: &it {{{FUNCTION}}}\n<<: *it\n{CHOOSING}", "!function answers.rows"),
    (f"class: !function answers.rows\n{CHOOSING}", "!function answers.rows"),
    (WRITING + "\nunsafe_code: true", "unsafe_code.*--run_code_unconfined"),
    (CHOOSING.replace("{{answer}}", "{{ ''.__class__.__mro__ }}"), "SecurityError|unsafe"),
    (CHOOSING.replace("{{answer}}", "{{ nothing }}"), "'nothing' is undefined"),
])  # fmt: skip
def test_other_ways_to_run_code_are_refused(folder, own, what):
    write_task(folder, "odd", own)
    with pytest.raises(UserError, match=what):
        load_tasks(TaskChoice(["odd"], folder), 0)
    assert not (folder / "it_ran").exists()


def test_a_reader_that_unpickles_is_refused_also_inside_a_group(folder):
    path = write_task(folder, "pickled", CHOOSING)
    path.write_text(path.read_text().replace("dataset_path: json", "dataset_path: pandas"))
    (folder / "group.yaml").write_text("group: outer\ntask: [{task: t, dataset_path: pandas, test_split: test}]\n")
    for name in ("pickled", "outer"):
        with pytest.raises(UserError, match="pandas, which unpickles"):
            load_tasks(TaskChoice([name], folder), 0)


def test_missing_data_and_a_missing_folder_are_one_line(folder):
    write_task(folder, "choosing", CHOOSING)
    (folder / "test.jsonl").unlink()
    with pytest.raises(UserError, match=r"choosing.*test.jsonl"):
        load_tasks(TaskChoice(["choosing"], folder), 0)
    with pytest.raises(UserError, match="--include_path"):
        load_tasks(TaskChoice(["choosing"], folder / "elsewhere"), 0)


def test_a_file_that_is_not_a_yaml_mapping_is_one_line(folder):
    path = folder / "broken.yaml"
    for text in ("task: [", "- a\n- b\n", "", "a: !!python/name:os.system", "a: 1\n---\nb: 2", "\x00"):
        path.write_text(text)
        with pytest.raises(UserError, match=r"broken.yaml"):
            load_tasks(TaskChoice([str(path)]), 0)


def test_examples_drawn_from_the_tested_items_are_refused(folder):
    path = write_task(folder, "leaking", CHOOSING)
    path.write_text(path.read_text().replace("training_split: train\n", ""))
    assert load_tasks(TaskChoice(["leaking"], folder), 0)["tasks"]["leaking"].config.num_fewshot == 0
    with pytest.raises(UserError, match="fewshot_split"):
        load_tasks(TaskChoice(["leaking"], folder, num_fewshot=2), 0)
    path.write_text(path.read_text() + "fewshot_split: test\n")
    assert load_tasks(TaskChoice(["leaking"], folder, num_fewshot=2), 0)["tasks"]["leaking"].config.num_fewshot == 2


def test_a_task_with_0_examples_keeps_0_and_another_number_can_be_changed(folder):
    write_task(folder, "none", f"num_fewshot: 0\n{CHOOSING}")
    write_task(folder, "three", f"num_fewshot: 3\n{CHOOSING}")
    for asked, expected in ((None, [0, 3]), (2, [0, 2])):
        tasks = load_tasks(TaskChoice(["none", "three"], folder, num_fewshot=asked), 0)["tasks"]
        assert [task.config.num_fewshot for task in tasks.values()] == expected


@pytest.mark.slow
def test_an_unknown_name_is_reported_with_similar_names_and_the_harness_has_its_own(folder):
    write_task(folder, "my_choosing", CHOOSING)
    with pytest.raises(UserError, match=r"'arc_eazy'.*similar: .*arc_easy"):
        load_tasks(TaskChoice(["arc_eazy"], folder), 0)
    with pytest.raises(UserError, match=r"'my_chosing'.*similar: .*my_choosing"):
        load_tasks(TaskChoice(["my_chosing"], folder), 0)
    with pytest.raises(UserError, match=r"hellaswag.*go online once"):
        load_tasks(TaskChoice(["hellaswag"], folder), 0)
    with pytest.raises(UserError, match=r"humaneval has unsafe_code"):
        load_tasks(TaskChoice(["humaneval"], folder), 0)
