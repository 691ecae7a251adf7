import json
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.evaluation.likelihood.capability_items import CapabilityItem, capability_item
from pipelines.evaluation.likelihood.plan import (
    BeyondPlan,
    capability_items,
    describe_general,
    general_documents,
    training_answers,
)
from pipelines.files import sha256_of_file


def rows_file(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("row", "item"),
    [
        ({"good": "a b", "bad": "b a"}, CapabilityItem(None, ("a b", "b a"), 0)),
        (
            {"question": "What?", "choices": ["x", "y"], "answer": "B", "category": "facts"},
            CapabilityItem("Question: What?\nAnswer:", ("x", "y"), 1, "facts"),
        ),
        (
            {"context": "Read.", "question": "What?", "choices": ["x", "y"], "answer": 0, "subject": "law"},
            CapabilityItem("Read.\n\nQuestion: What?\nAnswer:", ("x", "y"), 0, "law"),
        ),
        ({"prompt": "Once", "choices": ["x", "y", "z"], "answer": "2"}, CapabilityItem("Once", ("x", "y", "z"), 2)),
    ],
)
def test_an_item_is_a_minimal_pair_or_a_question_with_choices(row: dict[str, object], item: CapabilityItem) -> None:
    assert capability_item(row, "row 1") == item


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"good": "a", "bad": "a"}, "expected two different texts in `good` and `bad` in row 7 of f; got empty, equal"),
        ({"good": "a"}, "expected two different texts in `good` and `bad` in row 7 of f; got empty, equal"),
        (
            {"text": "a"},
            "expected `good` and `bad`, or a list of two or more texts in `choices` in row 7 of f; got the",
        ),
        ({"choices": ["a"], "answer": 0}, "expected `good` and `bad`, or a list of two or more texts in `choices` in"),
        ({"choices": ["a", "b"], "answer": 0}, "expected a text in `question`, `context` or `prompt` in row 7"),
        ({"prompt": "p", "choices": ["a", "b"], "answer": 2}, "expected the place of the right choice, 0 to 1, or its"),
        ({"prompt": "p", "choices": ["a", "b"], "answer": "C"}, "expected the place of the right choice, 0 to 1, or"),
        ({"prompt": "p", "choices": ["a", "b"]}, "expected the place of the right choice, 0 to 1, or its letter"),
    ],
)
def test_a_row_that_is_no_item_is_refused(row: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        capability_item(row, "row 7 of f")
    assert str(error.value).startswith(message)


def test_general_text_is_read_as_for_perplexity(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("A paragraph.\n\nAnother one.\n\nThe last.\n")
    documents = general_documents(path)
    assert documents.items == ["A paragraph.\n\n", "Another one.\n\n", "The last.\n"]
    assert documents.follow_on
    described = describe_general(path)
    assert (described["path"], described["n"], described["sha256"]) == (str(path), 3, sha256_of_file(path))


def test_training_answers_are_what_the_model_was_taught_to_say(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    rows = rows_file(tmp_path, {"instruction": "i", "output": "o"}, {"messages": [*turns, *turns]}, {"chosen": turns})
    assert training_answers(rows) == ["o", "a\n\na", "a"]


def test_files_that_cannot_be_measured_on_are_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    rows = rows_file(tmp_path, {"wrong": "column"})
    for plan, message in [
        (BeyondPlan(general=rows), "`text` or `output` in row 1 of"),
        (BeyondPlan(training_rows=rows), "text in one of the columns output, completion, "),
        (BeyondPlan(capability=rows), "`good` and `bad`, or a list of two or more texts in `choices` in row 1 of"),
        (
            BeyondPlan(general=tmp_path / "absent.txt"),
            "absent.txt, which does not exist; give more text, or another file, with --general",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            plan.refuse_unusable()
    BeyondPlan().refuse_unusable()


def test_one_document_or_item_has_no_interval(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"at least two documents .* give more text, or another file, with --general"):
        general_documents(rows_file(tmp_path, {"text": "a"}, {"text": ""}))
    with pytest.raises(UserError, match="at least two items in"):
        capability_items(rows_file(tmp_path, {"good": "a", "bad": "b"}))
