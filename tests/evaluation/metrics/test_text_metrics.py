"""The functions behind the metrics of a text against cases by hand: units, repetition, echo, language, numbers."""

from fractions import Fraction

import pytest

from pipelines.errors import UserError
from pipelines.evaluation.metrics.language import is_in_language, known_languages, language_of, same_language
from pipelines.evaluation.metrics.numeric_answer import marked_number, number_of, numeric_answer
from pipelines.evaluation.metrics.repetition import (
    MAX_END_CHARACTERS,
    begins_with_prompt,
    distinct,
    ends_in_loop,
    prompt_echo,
    repetition,
)
from pipelines.evaluation.metrics.text_units import n_bullets, n_numbered, n_sentences, paragraphs, words

ENGLISH = "What is the best way to learn how to swim as a grown person?"
GERMAN = "Am besten nimmt man ein paar Stunden bei einem guten Lehrer und übt dann jede Woche."
ASKED = "What is the capital of France, my friend? Say it in one word."


def test_words_are_runs_of_letters_and_digits():
    assert words("Don't stop: it's 3.5 größer_x!") == ["Don", "t", "stop", "it", "s", "3", "5", "größer_x"]


@pytest.mark.parametrize(("text", "expected"), [
    ("", 0), ("one", 1), ("One. Two! Three? Four", 4), ("It costs 3.50. Really?", 2), ("Wait... what?!", 2),
    ("Dr. Smith met Mr. J. Jones at 3.5 p.m. in St. Louis.", 1), ('He said "Stop!" Then he left.', 2),
    ("a heading\n\nA sentence. And one", 3), ("今日は。明日は？", 2), ("e.g. this", 1), ("See you, e.g.", 1),
])  # fmt: skip
def test_sentences_end_at_marks_and_blank_lines(text, expected):
    assert n_sentences(text) == expected


def test_paragraphs_and_items_are_counted():
    assert (paragraphs("\n\none\ntwo\n \t\n\nthree\n"), paragraphs(" \n ")) == (["one\ntwo", "three"], [])
    text = "Things:\n* one\n  - two\n• three\n-four\n**bold** no\n---\n-\n* * *\n1. a\n2) b\n(3) c\n1.5 no\n2020 no"
    assert (n_bullets(text), n_numbered(text)) == (4, 3)


@pytest.mark.parametrize(("text", "expected"), [
    ("", 0.0), ("one two three", 0.0), ("one two three four", 0.0), ("a a a a a a a a", 1 - 1 / 5),
    ("a b c d a b c d", 1 - 4 / 5), ("x=1;x=1;", 1 - 4 / 5),
])  # fmt: skip
def test_repetition_is_the_share_of_4_grams_seen_before(text, expected):
    assert repetition(text) == pytest.approx(expected)


@pytest.mark.parametrize(("text", "n", "expected"), [
    ("", 1, None), ("one", 1, 1.0), ("one", 2, None), ("to be or not to be", 1, 4 / 6),
    ("to be or not to be", 2, 4 / 5), ("x = x", 1, 2 / 3),
])  # fmt: skip
def test_distinct_counts_n_grams_once(text, n, expected):
    assert distinct(text, n) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(("text", "is_loop"), [
    ("It is good. " + "It is the best of all. " * 3, True),
    ("start " + "the " * 10, True),
    ("fine until here " + "and so on and so " * 5 + "and so", True),  # cut in the middle of a repeat
    ("a" * 40, True),
    ("def f():\n" + "    return x\n" * 5, True),
    ("今日は天気がいいです。" * 4, True),
    ("=" * 100, True),
    ("x" * (MAX_END_CHARACTERS * 3) + "The end of it all, said once and again. " * 3 + "\n\n", True),
    ("y" + "".join(map(str, range(500))) * 3, True),
    ("", False),
    ("no no no", False),
    ("very, very, very good", False),
    ("It is the best of all the things that I know. " * 2, False),
    ("the " * 30 + "and then it found its way out", False),
    ("f(g(h(((((((1))))))))", False),
    ("Title\n" + "-" * 60, False),
    ("4 / 3 * 3.14 * radius * radius * radius", False),
    (" ".join(map(str, range(500))), False),
    ("\n" * 500, False),
])  # fmt: skip
def test_a_loop_is_an_end_repeated_three_times(text, is_loop):
    assert ends_in_loop(text) is is_loop


def test_loops_are_found_as_by_a_search_over_every_length():
    def n_matching(text: str, n: int) -> int:
        matching = 0
        while matching + n < len(text) and text[-1 - matching] == text[-1 - matching - n]:
            matching += 1
        return matching + n

    def search(text: str) -> bool:
        lengths = range(1, len(text) // 3 + 1)
        return any(text[-3 * n :] == text[-n:] * 3 and n_matching(text, n) >= 40 for n in lengths)

    texts = [("ab" * a + "c" * b) * n for a in range(4) for b in range(4) for n in range(1, 14) if a + b]
    found = [ends_in_loop(text) for text in texts]
    assert found == [search(text) for text in texts]
    assert 0 < sum(found) < len(found)


@pytest.mark.parametrize(("answer", "expected"), [
    ("", 0.0), ("Paris.", 0.0), (ASKED, 1.0), ("WHAT  is the\ncapital of", 1.0),
    ("What is the capital city of France", 1 / 4), ("The capital of France is Paris", 1 / 3),
    ("The capital of Spain is Madrid", 0.0),
])  # fmt: skip
def test_the_echo_is_the_share_of_4_grams_of_the_prompt(answer, expected):
    assert prompt_echo(answer, ASKED) == pytest.approx(expected)


@pytest.mark.parametrize(("answer", "instruction", "expected"), [
    (f"{ASKED} Paris", ASKED, True), ("what is the capital\n\nof France, my dear?", ASKED, True),
    ("What is the capital of Spain?", ASKED, False), ("", ASKED, False),
    ("Paris. What is the capital of France, my friend?", ASKED, False),
    ("Name three colors: red, green, blue", "Name three colors:", True), ("Hello there", "Hello?", None),
])  # fmt: skip
def test_an_answer_begins_with_the_prompt_by_its_first_eight_words_and_symbols(answer, instruction, expected):
    assert begins_with_prompt(answer, instruction) is expected


@pytest.mark.parametrize(("text", "expected"), [
    (ENGLISH, "en"), (ENGLISH.upper(), "en"), (GERMAN, "de"),
    ("Le mieux est de prendre des cours avec un bon professeur toutes les semaines.", "fr"),
    ("今日は天気がいいですから、公園へ散歩に行きましょう。", "ja"),
    (f"{GERMAN}\n```python\nfor number in numbers:\n    print(number)\n```", "de"), ("Paris.", None), ("", None),
    ("\0" * 100, None), ("for (let i = 0; i < items.length; i++) { total += items[i].price; }", None),
    ("import os\nreturned = os.getcwd\nprint", None),
])  # fmt: skip
def test_the_language_of_prose_that_is_long_enough_is_identified(text, expected):
    assert language_of(text) == expected


@pytest.mark.parametrize(("answer", "prompt", "expected"), [
    ("You should take a few lessons with a good teacher.", ENGLISH, True), (GERMAN, ENGLISH, False),
    ("Swim.", ENGLISH, None), (GERMAN, "Hi", None),
    (GERMAN, "Translate the following sentence for my grandmother, please: take lessons.", None),
    (GERMAN, "How would you say it in German if somebody asked you about lessons?", None),
])  # fmt: skip
def test_languages_are_compared_where_both_are_known(answer, prompt, expected):
    assert same_language(answer, prompt) is expected


def test_a_requested_language_must_be_the_most_probable_one():
    assert is_in_language(GERMAN, "de")
    assert not is_in_language(GERMAN, "en")
    assert is_in_language("Ja.", "de"), "too short to identify"
    assert is_in_language("我們今天去公園散步,因為天氣很好,大家都很高興,明天也要去。", "zh")
    assert {"en", "de", "zh"} <= set(known_languages())


@pytest.mark.parametrize(("text", "expected"), [
    ("She has 3 + 4 = <<3+4=7>>7 apples.\n#### 7", "7"), ("#### 7 apples, for 2 days", "2"),
    ("The answer is 42.", "42"), ("That is $1,234.50 in all.", "1234.5"), ("1,234,567", "1234567"), ("12,34", "34"),
    ("-5", "-5"), ("It falls to −3.5 degrees", "-3.5"), ("a debt of -$20", "-20"), ("a debt of $-20", "-20"),
    ("10-5", "5"), ("f(2)-3", "3"), ("from 2010-2020", "2020"), ("3/4 of it", "3/4"), ("-1/2", "-1/2"), ("1/0", None),
    ("50%", "50"), ("50 km", "50"), ("Rs.500", "500"), ("about .5", "1/2"), ("first 8, then #### nothing", "8"),
    ("#### 1 and #### 2", "2"), ("seven", None), ("", None), ("1" * 5000, None), ("1" * 39, "1" * 39),
    ("1e5", "100000"), ("about 1.5e3 m", "1500"), ("2.5E-1", "1/4"), ("x 1e5x", "5"),
])  # fmt: skip
def test_the_number_is_the_marked_one_or_the_last(text, expected):
    assert number_of(text) == (None if expected is None else Fraction(expected))


@pytest.mark.parametrize(("answer", "expected", "right"), [
    ("It is 42.0", "42", True), ("It is 42", 42, True), ("0.75", "3/4", True), ("0.1", 0.1, True),
    ("0.33", "1/3", False), ("-42", "42", False), ("no idea", "42", False), ("", "42", False),
])  # fmt: skip
def test_numbers_are_compared_exactly(answer, expected, right):
    assert numeric_answer(answer, expected) is right


def test_only_a_marked_number_makes_a_reference_numeric():
    assert marked_number("3 + 4 = 7\n#### 1,007 ") == "1,007"
    assert marked_number("3 + 4 = 7") is None
    assert marked_number("#### none") is None
    with pytest.raises(UserError, match="'seven' is not a number"):
        numeric_answer("7", "seven")
