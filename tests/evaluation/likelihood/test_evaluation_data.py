import pytest

from pipelines.errors import UserError
from pipelines.evaluation.likelihood.evaluation_data import EvaluationData
from pipelines.evaluation.likelihood.forgetting import CapabilityItem, capability_item
from pipelines.files import sha256_of_file
from tests.run_files import write_jsonl


@pytest.mark.parametrize(("row", "item"), [
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
])  # fmt: skip
def test_an_item_is_a_minimal_pair_or_a_question_with_choices(row, item):
    assert capability_item(row, "row 1") == item


@pytest.mark.parametrize(("row", "message"), [
    ({"good": "a", "bad": "a"}, "needs two different texts in `good` and `bad`"),
    ({"good": "a"}, "needs two different texts in `good` and `bad`"),
    ({"text": "a"}, "has the columns text, expected `good` and `bad`, or a list of two or more texts in `choices`"),
    ({"choices": ["a"], "answer": 0}, "has ['a'], expected `good` and `bad`, or a list of two or more texts"),
    ({"choices": ["a", "b"], "answer": 0}, "needs a text in `question`, `context` or `prompt`"),
    ({"prompt": "p", "choices": ["a", "b"], "answer": 2}, "has the answer 2, expected an index from 0 to 1, or its"),
    ({"prompt": "p", "choices": ["a", "b"], "answer": "C"}, "has the answer 'C', expected an index from 0 to 1"),
    ({"prompt": "p", "choices": ["a", "b"]}, "has the answer None, expected an index from 0 to 1, or its letter"),
])  # fmt: skip
def test_a_row_that_is_not_an_item_is_an_error(row, message):
    with pytest.raises(UserError) as error:
        capability_item(row, "row 7 of f")
    assert str(error.value).startswith(f"row 7 of f {message}")


def test_general_text_is_read_as_for_perplexity(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("A paragraph.\n\nAnother one.\n\nThe last.\n")
    data = EvaluationData.read(general=path)
    assert data.general.items == ["A paragraph.\n\n", "Another one.\n\n", "The last.\n"]
    assert data.general.follow_on
    described = data.descriptions["general"]
    assert (described["path"], described["n"], described["sha256"]) == (str(path), 3, sha256_of_file(path))


def test_training_answers_are_the_target_texts(tmp_path):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    rows = [{"instruction": "i", "output": "o"}, {"messages": [*turns, *turns]}, {"chosen": turns}]
    assert EvaluationData.read(training_rows=write_jsonl(tmp_path / "rows.jsonl", rows)).training_answers == [
        "o", "a\n\na", "a",
    ]  # fmt: skip


@pytest.mark.parametrize(("flag", "rows", "message"), [
    ("general", [{"wrong": "a"}], "row 1 of .* has the columns wrong, expected text in `text` or `output`"),
    ("training_rows", [{"wrong": "a"}], "row 1 of .* has the columns wrong, expected text in one of output"),
    ("capability", [{"wrong": "a"}], "row 1 of .* has the columns wrong, expected `good` and `bad`, or a list"),
    ("general", [{"text": "a"}, {"text": ""}], "has 1 document with text, expected two or more, .* with --general"),
    ("capability", [{"good": "a", "bad": "b"}], "has 1 item, expected two or more"),
    ("general", None, "--general .*absent.jsonl does not exist; give more text, or another file, with --general"),
])  # fmt: skip
def test_files_that_cannot_be_measured_on_are_errors(flag, rows, message, tmp_path):
    path = tmp_path / "absent.jsonl" if rows is None else write_jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(UserError, match=message):
        EvaluationData.read(**{flag: path})
