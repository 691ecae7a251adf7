from pathlib import Path

import pytest
from transformers import AutoTokenizer

from pipelines.errors import UserError
from pipelines.evaluation.model_choice import ModelChoice, behind_template_of, distinct_names
from pipelines.evaluation.perplexity_measurement import (
    Reading,
    Scope,
    default_scopes,
    documents_in_scope,
    drawn_rows,
    measure,
)
from pipelines.modeling import CHATML, PromptStyle, ensure_chat_template, load_for_inference, load_tokenizer

ROWS = [
    {"instruction": "Write f(x).", "input": "", "output": "def f(x):\n    return x"},
    {"instruction": "Say it in German.", "input": "blue", "output": "blau"},
]
STYLES = {Scope.TEXT: [row["output"] for row in ROWS], Scope.RESPONSE: ROWS}


@pytest.fixture
def untemplated(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """The tiny model as a base whose tokenizer has no chat template."""
    loaded = load_for_inference(str(tiny_model_folder))
    loaded.tokenizer.chat_template = None
    loaded.model.save_pretrained(tmp_path / "base")
    loaded.tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def test_a_base_is_given_the_plain_prompt_and_the_template_of_the_model_after_it(
    untemplated: Path, tiny_model_folder: Path
) -> None:
    found = measure([ModelChoice(str(untemplated)), ModelChoice(str(tiny_model_folder))], STYLES, Reading())
    assert [(one.model, one.scope, one.prompt_style) for one in found] == [
        ("base", Scope.TEXT, None),
        ("base", Scope.RESPONSE, PromptStyle.PLAIN),
        ("base", Scope.RESPONSE, PromptStyle.CHAT),
        ("tiny", Scope.TEXT, None),
        ("tiny", Scope.RESPONSE, PromptStyle.CHAT),
    ]
    assert found[2].documents == found[4].documents, "equal weights behind an equal template are equally good"
    assert found[1].documents != found[2].documents


def test_a_first_model_with_a_template_of_its_own_is_given_both_styles_too(tiny_model_folder: Path) -> None:
    found = measure([ModelChoice(str(tiny_model_folder))], {Scope.RESPONSE: ROWS}, Reading())
    assert [one.prompt_style for one in found] == [PromptStyle.PLAIN, PromptStyle.CHAT]


def test_without_any_template_a_base_is_measured_plain_and_that_is_said(
    untemplated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = measure([ModelChoice(str(untemplated))], {Scope.RESPONSE: ROWS}, Reading())
    assert [one.prompt_style for one in found] == [PromptStyle.PLAIN]
    assert "base: plain prompts only, no template" in capsys.readouterr().err


def test_a_template_with_tokens_new_to_the_base_grows_its_embeddings_equally_each_time(untemplated: Path) -> None:
    tokenizer = load_tokenizer(str(untemplated))
    tokenizer.chat_template = CHATML.replace("<|im_start|>", "<|turn|>")
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|turn|>"]}, replace_extra_special_tokens=False)
    grown = [behind_template_of(load_for_inference(str(untemplated)), tokenizer) for _ in range(2)]
    rows = [one.model.get_input_embeddings().weight for one in grown if one]
    assert rows[0].shape[0] == len(tokenizer)
    assert rows[0].equal(rows[1])


def test_a_template_for_another_vocabulary_is_not_put_on_a_base(untemplated: Path, shared_data: Path) -> None:
    other = AutoTokenizer.from_pretrained(shared_data / "models" / "hf-stories260K")
    ensure_chat_template(other)
    assert behind_template_of(load_for_inference(str(untemplated)), other) is None


def test_models_of_one_folder_name_get_names_that_differ() -> None:
    choices = [ModelChoice("a/base"), ModelChoice("a/base", "runs/base"), ModelChoice("b/instruct/")]
    assert distinct_names(choices) == ["base", "base_2", "instruct"]


def test_a_sample_of_rows_keeps_their_order_and_their_numbers() -> None:
    rows = [{"text": str(number)} for number in range(1, 101)]
    drawn = drawn_rows(rows, 10, seed=3)
    assert drawn == drawn_rows(rows, 10, seed=3) != drawn_rows(rows, 10, seed=4)
    assert len(drawn) == 10
    assert all(row["text"] == str(number) for number, row in drawn)
    assert [number for number, _ in drawn] == sorted(number for number, _ in drawn)
    assert drawn_rows(rows, None, seed=3) == list(enumerate(rows, start=1))


def test_the_scope_follows_the_rows_and_empty_texts_are_left_out() -> None:
    corpus, instructions = ([(number, row) for number, row in enumerate(rows, 1)] for rows in ([{"text": "a"}], ROWS))
    assert default_scopes(corpus) == [Scope.TEXT]
    assert default_scopes(instructions) == [Scope.RESPONSE]
    texts = [(1, {"text": "a"}), (2, {"text": ""}), (3, {"text": "b"})]
    assert documents_in_scope(texts, Scope.TEXT, "f") == ["a", "b"]
    assert documents_in_scope(instructions, Scope.TEXT, "f") == [row["output"] for row in ROWS]


@pytest.mark.parametrize(
    ("row", "scope", "message"),
    [
        ({"instruction": "a"}, Scope.TEXT, "expected `text` or `output` in row 7 of f; got the columns instruction"),
        ({"text": 3}, Scope.TEXT, "in row 7 of f; got a int"),
        ({"instruction": "a", "output": ""}, Scope.RESPONSE, "a text in `output` in row 7 of f; got none"),
        ({"instruction": "a", "output": None}, Scope.RESPONSE, "a text in `output` in row 7 of f; got none"),
        ({"text": "a"}, Scope.RESPONSE, "a text in `instruction` in row 7 of f; got none"),
        ({"instruction": "a", "output": ["b"]}, Scope.RESPONSE, "a text in `output` in row 7 of f; got a list"),
        ({"text": "alone"}, Scope.TEXT, "at least two documents that are not empty, for an interval; got 1 in f"),
    ],
)
def test_rows_that_cannot_be_measured_are_refused_by_number(row: dict[str, object], scope: Scope, message: str) -> None:
    with pytest.raises(UserError, match=message):
        documents_in_scope([(7, row)], scope, "f")
