"""Languages told apart, and where none is told."""

import pytest

from pipelines.evaluation.answer_checks.language import is_in_language, known_languages, language_of, same_language

ENGLISH = "What is the best way to learn how to swim as a grown person?"
GERMAN = "Am besten nimmt man ein paar Stunden bei einem guten Lehrer und übt dann jede Woche."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ENGLISH, "en"),
        (ENGLISH.upper(), "en"),
        (GERMAN, "de"),
        ("Le mieux est de prendre des cours avec un bon professeur toutes les semaines.", "fr"),
        ("今日は天気がいいですから、公園へ散歩に行きましょう。", "ja"),
        (f"{GERMAN}\n```python\nfor number in numbers:\n    print(number)\n```", "de"),
        ("Paris.", None),
        ("", None),
        ("for (let i = 0; i < items.length; i++) { total += items[i].price; }", None),
        ("import os\nreturned = os.getcwd\nprint", None),
        ("\0" * 100, None),
    ],
)
def test_a_language_is_told_of_prose_that_is_long_enough(text: str, expected: str | None) -> None:
    assert language_of(text) == expected


@pytest.mark.parametrize(
    ("answer", "prompt", "expected"),
    [
        ("You should take a few lessons with a good teacher.", ENGLISH, True),
        (GERMAN, ENGLISH, False),
        ("Swim.", ENGLISH, None),
        (GERMAN, "Hi", None),
        (GERMAN, "Translate the following sentence for my grandmother, please: take lessons.", None),
        (GERMAN, "How would you say it in German if somebody asked you about lessons?", None),
    ],
)
def test_languages_are_compared_where_both_are_told(answer: str, prompt: str, expected: bool | None) -> None:
    assert same_language(answer, prompt) is expected


def test_an_asked_for_language_is_the_most_probable_one() -> None:
    assert is_in_language(GERMAN, "de")
    assert not is_in_language(GERMAN, "en")
    assert is_in_language("Ja.", "de")  # too short to say otherwise
    assert is_in_language("我們今天去公園散步,因為天氣很好,大家都很高興,明天也要去。", "zh")
    assert {"en", "de", "zh"} <= set(known_languages())
