"""What of an answer the prompt already said."""

import pytest

from pipelines.evaluation.answer_checks.prompt_echo import begins_with_prompt, prompt_echo

ASKED = "What is the capital of France, my friend? Say it in one word."


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", 0.0),
        ("Paris.", 0.0),
        (ASKED, 1.0),
        ("WHAT  is the\ncapital of", 1.0),
        ("What is the capital city of France", 1 / 4),
        ("The capital of France is Paris", 1 / 3),
        ("The capital of Spain is Madrid", 0 / 3),
    ],
)
def test_the_echo_is_the_share_of_four_grams_that_the_prompt_holds(answer: str, expected: float) -> None:
    assert prompt_echo(answer, ASKED) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "instruction", "expected"),
    [
        (f"{ASKED} Paris", ASKED, True),
        ("what is the capital\n\nof France, my dear?", ASKED, True),
        ("What is the capital of Spain?", ASKED, False),
        ("Paris. What is the capital of France, my friend?", ASKED, False),
        ("", ASKED, False),
        ("Name three colours: red, green, blue", "Name three colours:", True),
        ("Hello there", "Hello?", None),
    ],
)
def test_an_answer_begins_with_the_prompt_if_its_first_eight_words_and_symbols_do(
    answer: str, instruction: str, expected: bool | None
) -> None:
    assert begins_with_prompt(answer, instruction) is expected
