"""The index of n-grams finds what is shared with an evaluation text, and only what says something."""

import random

import pytest

from data_prep.cleaning.duplicates.minhash import words
from data_prep.cleaning.ngram_index import IndexedText, NgramIndex

QUESTION = (
    "Mara bakes seven trays of rolls every morning and sells each roll for two coins at the harbor market. How many "
    "coins does she bring home if three rolls of every tray are burnt?"
)


def index_of(*texts, n=13, min_overlap=0.0):
    return NgramIndex([IndexedText("test", row, words(text)) for row, text in enumerate(texts)], n, min_overlap)


@pytest.mark.parametrize("n", [5, 8, 12, 13, 20])
def test_every_run_of_n_words_is_found_wherever_it_begins(n):
    index = index_of(QUESTION, n=n)
    all_words = QUESTION.split()
    for start in range(len(all_words) - n + 1):
        run = all_words[start : start + n]
        for n_before in range(n):
            text = " ".join([*["other"] * n_before, *run, "end"])
            counts = index.find(words(text)) is not None
            assert counts == (len({one for one in words(" ".join(run)) if len(one) > 2}) >= 8 or n < 9), (start, run)


def test_a_run_of_one_word_less_is_not_found():
    index = index_of(QUESTION)
    all_words = QUESTION.split()
    for start in range(len(all_words) - 12):
        assert index.find(words(" ".join(["a", *all_words[start : start + 12], "b"]))) is None


def test_a_match_names_the_row_and_the_shared_words():
    index = index_of("An apple a day keeps nobody away.", QUESTION)
    found = index.find(words("He said: MARA bakes seven trays of rolls, every morning, and sells each roll for 2"))
    assert (found.set_name, found.row) == ("test", 1)
    assert b" ".join(found.words) == b"mara bakes seven trays of rolls every morning and sells each roll for"


def test_the_boilerplate_of_a_set_does_not_count_alone():
    frame = "Write a complete function with type hints and a docstring that solves the following problem for me: {}"
    topics = [
        "sort the cards",
        "count lonely islands",
        "merge two calendars",
        "fold long paper maps",
        "weigh every parcel",
    ]
    index = index_of(*(frame.format(topic) for topic in topics))
    assert index.find(words(frame.format("draw a map of the town"))) is None
    assert index.find(words(frame.format("merge two calendars"))).row == 2
    assert index_of(*(frame.format(topic) for topic in topics[:4])).find(words(frame.format("draw a map")))


def test_loops_and_rows_of_numbers_do_not_count_if_the_text_says_more():
    code = (
        "for i in range(n): for j in range(m): for k in range(3): x = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]"
    )
    index = index_of(f"{code} {QUESTION}")
    assert index.find(words(code)) is None
    assert index.find(words(QUESTION))


def test_of_a_text_with_few_distinct_words_the_best_runs_count():
    code = "def f(a): return a + a + a + a\nfor i in range(n): for j in range(m): f(i) + f(j)"
    assert index_of(code).find(words(f"x = 1\n{code}"))


def test_a_short_question_is_found_as_a_whole_only():
    index = index_of("What is the deepest lake of Europe?", "Too short")
    assert index.find_whole(words("what is the DEEPEST lake of Europe")).row == 0
    assert index.find_whole(words("What is the deepest lake of Europe called?")) is None
    assert index.find_whole(words("Too short")) is None


def test_all_places_of_a_head_are_compared():
    """The same eight words begin several texts; only one goes on as the row does."""
    head = "the quick brown fox jumps over lazy sleeping"
    texts = [f"{head} {' '.join(random.Random(seed).sample('abcdefghijklmnop', 10))} dogs" for seed in range(4)]
    index = index_of(*texts)
    assert [index.find(words(text)).row for text in texts] == [0, 1, 2, 3]


def test_a_sentence_that_an_evaluation_text_quotes_is_no_copy_of_it():
    quoted = "A tide is the rise and fall of the sea that the moon and the sun cause together twice a day."
    index = index_of(f"{quoted} {QUESTION} {QUESTION.replace('coins', 'shells')}", min_overlap=0.3)
    assert index.find(words(quoted)) is None
    found = index.find(words(f"{quoted} {QUESTION}"))
    assert found.overlap > 0.9, "the second question differs from the first in two words"
    assert index_of(f"{quoted} {QUESTION}", min_overlap=0.0).find(words(quoted))


def test_fifty_shared_words_are_enough_of_a_long_text():
    generator = random.Random(0)
    long = [f"word{generator.randrange(10**6)}" for _ in range(1000)]
    index = index_of(" ".join(long), min_overlap=0.3)
    assert index.find(words(" ".join(long[100:150])))
    assert index.find(words(" ".join(long[100:149]))) is None


def test_a_template_of_many_evaluation_texts_takes_no_longer_than_another_text():
    template = (
        "You are a patient assistant that answers every question with care and without a single needless word about"
    )
    topics = [f"topic{number} and its long history in far away country{number} of old" for number in range(3000)]
    index = index_of(*(f"{template} {topic}" for topic in topics))
    copies = [f"{template} {topic}" for topic in topics[:200]]
    assert all(index.find(words(text)) for text in copies)
    calls = []
    index._shared_ngram = lambda *_: calls.append(1) or -1
    index.find(words(f"{template} bread"))
    assert len(calls) < 200
