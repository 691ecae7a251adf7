"""Prompts against answers: leaks, repeated prompts, rows that were shifted, spaces before completions."""

import random
from functools import partial
from typing import Any

import pytest

from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks import checks_of
from pipelines.records.finding import Finding, Severity
from tests.planted_faults.sample_rows import rows_in
from tests.preflight.contexts import context_of, findings_by_id, severities

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
Row = dict[str, Any]
english = partial(rows_in, "english")
findings_of = partial(findings_by_id, checks_of("pairing"))


@pytest.fixture
def found(qwen, tmp_path):
    def of(rows: list[Row], **keys: Any) -> dict[str, Finding]:
        return findings_of(context_of(tmp_path, qwen, rows, **keys))

    return of


def moved(rows: list[Row], by: int) -> list[Row]:
    answers = [row["output"] for row in rows]
    return [{**row, "output": one} for row, one in zip(rows, answers[by:] + answers[:by], strict=True)]


def plain(rows: list[Row], prompt: str, completion: str) -> list[Row]:
    return [
        {"prompt": prompt.format(row["instruction"]), "completion": completion.format(row["output"])} for row in rows
    ]  # fmt: skip


@pytest.mark.parametrize("language", ["chinese", "japanese", "german_french", "arabic"])
def test_a_shift_by_one_row_is_found_in_every_script(language, found):
    assert severities(found(moved(rows_in(language), 1))) == {"ANSWERS_OF_OTHER_ROWS": ERROR}


@pytest.mark.parametrize("by", [1, -1, 20])
def test_a_shift_is_found_with_its_distance_and_its_rows(by, found):
    finding = found(moved(english(), by))["ANSWERS_OF_OTHER_ROWS"]
    where = {1: "the previous row", -1: "the next row", 20: "the row -20 from it"}[by]
    assert where in finding.summary
    assert finding.n_rows is not None
    assert finding.n_rows > 60


def test_a_shift_of_the_last_rows_alone_is_found(found):
    rows = english()
    finding = found([*rows[:70], *moved(rows[70:], 1)])["ANSWERS_OF_OTHER_ROWS"]
    assert finding.evidence[0].row is not None
    assert finding.evidence[0].row >= 70


def test_shuffled_answers_are_found_and_shuffled_rows_are_not(found):
    rows = english()
    answers = [row["output"] for row in rows]
    random.Random(3).shuffle(answers)
    assert found([{**row, "output": one} for row, one in zip(rows, answers, strict=True)]).keys() == {
        "ANSWERS_OF_OTHER_ROWS"
    }
    random.Random(3).shuffle(rows)
    assert found(rows) == {}


def test_chosen_answers_of_other_pairs_are_found(found):
    pairs = [{"prompt": row["instruction"], "chosen": row["output"], "rejected": "No."} for row in moved(english(), 1)]
    assert "ANSWERS_OF_OTHER_ROWS" in found(pairs, stage=Stage.DPO, learning_rate=1e-6)


def test_passages_of_other_rows_are_no_shift(found):
    rows = english()
    passages = [row["output"] for row in rows[1:] + rows[:1]]
    assert found([{**row, "input": one} for row, one in zip(rows, passages, strict=True)]) == {}


LEAKS = {
    "a template with the answer": lambda row: f"### Q\n{row['instruction']}\n### A\n{row['output']}\n### End",
    "the answer after the question": lambda row: f"{row['instruction']} {row['output']}",
    "the answer before the question": lambda row: f"Known: {row['output']}\n{row['instruction']}",
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_answers_in_their_prompts_are_found(leak, found):
    rows = [{**row, "instruction": leak(row)} for row in english()]
    assert severities(found(rows)) == {"ANSWER_IN_PROMPT": ERROR}


def test_a_fifth_of_the_answers_in_their_prompts_is_a_warning(found):
    rows = [{**row, "input": row["output"]} if n % 5 == 0 else row for n, row in enumerate(english())]
    finding = found(rows)["ANSWER_IN_PROMPT"]
    assert finding.severity is WARNING
    assert "%" in finding.summary


def test_a_system_turn_that_tells_the_answer_is_found(found):
    rows = [
        {"messages": [{"role": "system", "content": f"The right answer is: {row['output']}"},
                      {"role": "user", "content": row["instruction"]},
                      {"role": "assistant", "content": row["output"]}]}
        for row in english() if "\n" not in row["output"]
    ]  # fmt: skip
    assert found(rows).keys() == {"ANSWER_IN_PROMPT"}


COPIES = {
    "a text that is returned": lambda row: f"Repeat this text:\n{row['output']}",
    "a sentence among others": lambda row: (
        f"Which sentence is about the {row['instruction'][:9]}? {row['instruction'][::-1]} {row['output']} "
        f"{row['instruction'][3:40][::-1]} {row['instruction'].upper()} {row['output'].upper()}"
    ),
    "one field of a form": lambda row: (
        f"Give me the subject.\n\nFrom: {row['instruction'][:20]}\nSubject: {row['output'][:60]}\n\n"
        + f"{row['instruction']} {row['output'].upper()} " * 4
    ),
}


@pytest.mark.parametrize("task", COPIES.values(), ids=COPIES)
def test_tasks_that_copy_from_the_prompt_are_no_leak(task, found):
    is_form = task is COPIES["one field of a form"]
    rows = [
        {"instruction": task(row), "output": row["output"][:60] if is_form else row["output"]} for row in english()
    ]  # fmt: skip
    assert "ANSWER_IN_PROMPT" not in found(rows)


def test_answers_that_begin_with_their_prompt_are_found(found):
    whole = [{**row, "output": f"{row['instruction']}\n{row['output']}"} for row in english()]
    assert severities(found(whole)) == {"PROMPT_IN_ANSWER": ERROR}
    assert severities(found(whole[:10] + english()[10:])) == {"PROMPT_IN_ANSWER": WARNING}
    assert found(whole[:2] + english()[2:]) == {}


def test_a_thought_may_begin_with_the_question_but_not_the_answer_after_it(found):
    thought = [{**row, "output": f"<think>{row['instruction']}\nLet me see.</think>"} for row in english()]
    answers = [row["output"] for row in english()]
    clean = [{**row, "output": row["output"] + answer} for row, answer in zip(thought, answers, strict=True)]
    assert "PROMPT_IN_ANSWER" not in found(clean)
    echoed = [{**row, "output": f"{row['output']}\n{row['instruction']}\nSo."} for row in thought]
    assert "PROMPT_IN_ANSWER" in found(echoed)


def test_code_that_is_completed_may_begin_with_its_prompt(found):
    heads = [f"def f_{n}(value, other={n}):\n" for n in range(40)]
    assert found([{"prompt": head, "completion": f"{head}    return value + other * {n}"}
                  for n, head in enumerate(heads)]) == {}  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "completion", "severity"),
    [
        ("Q: {}\nA: ", "{}", {"PROMPT_ENDS_IN_SPACE": WARNING}),
        ("Q: {}\nA:", " {}", {}),
        ("{}\n", "{}", {}),
        ("{}\n    ", "{}", {}),  # an indentation
        ("{}\n\n### ", "\n{}", {}),
        ("Q: {}\nA:", "{}", {"NO_SPACE_BEFORE_COMPLETION": NOTE}),
        ("{} The answer is", "{}", {"NO_SPACE_BEFORE_COMPLETION": WARNING}),
    ],
)
def test_the_boundary_of_prompt_and_completion(prompt, completion, severity, gpt2, tmp_path):
    rows = [row for row in english() if row["output"][0].isalpha()]
    context = context_of(tmp_path, gpt2, plain(rows, prompt, completion))
    assert severities(findings_of(context)) == severity


def test_few_prompts_that_end_in_a_space_are_a_note(gpt2, tmp_path):
    rows = english()
    mixed = [*plain(rows[:9], "{}\nA: ", "{}"), *plain(rows[9:], "{}\nA:", " {}")]
    assert severities(findings_of(context_of(tmp_path, gpt2, mixed))) == {"PROMPT_ENDS_IN_SPACE": NOTE}
