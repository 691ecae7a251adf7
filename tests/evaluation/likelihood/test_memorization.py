import numpy as np

from pipelines.evaluation.likelihood.memorization import memorization, words_not_in_prompt
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.inference.generation import Answer

ROWS = [
    "The lake is deep and cold.", "one two three four five six seven eight nine ten eleven twelve",
    "A cat sat on the mat and looked at the dog that slept.",
]  # fmt: skip
PROMPTS = [
    Prompt(3, "Tell me about a cat."), Prompt(5, "Count."), Prompt(8, "Repeat: one two three four five six", "x"),
]  # fmt: skip


def said(*texts: str) -> list[Answer]:
    return [Answer(text, len(text.split()), True, ()) for text in texts]


ANSWERS = {
    "base": said("A small cat sat on a mat.", "1 2 3", ""),
    "instruct": said(
        "Yes. A cat sat on the mat\n and  looked at the dog today.",
        "one two three four five six seven eight nine ten eleven twelve",
        "one two three four five six",
    ),
}


def test_a_planted_row_is_found_with_its_exact_length_and_number():
    (lengths, repeats), overlaps = memorization(PROMPTS, ANSWERS, ROWS)
    assert lengths.item_values("instruct").tolist() == [11, 12, 0]
    np.testing.assert_equal(lengths.item_values("base"), [3, 0, np.nan])  # an empty answer has no part in it
    assert repeats.item_values("instruct").tolist() == [1, 1, 0]
    np.testing.assert_equal(repeats.item_values("base"), [0, 0, np.nan])
    assert overlaps == [
        {"model": "base", "id": 3, "n_words": 3, "text": "cat sat on", "row": 3},
        {"model": "instruct", "id": 5, "n_words": 12, "text": ROWS[1], "row": 2},
        {"model": "instruct", "id": 3, "n_words": 11, "text": "A cat sat on the mat and looked at the dog", "row": 3},
    ]


def test_what_the_prompt_says_too_is_not_memorised():
    words = words_not_in_prompt("he said one two three four five and one two three", "one two three four five\n")
    assert words == ["he", "said", None, None, None, None, None, "and", "one", "two", "three"]


def test_a_run_is_a_repetition_from_eight_words_and_three_tenths_of_the_answer_on():
    eight = " ".join(ROWS[1].split()[:8])
    seven = " ".join(ROWS[1].split()[:7])
    padding = " other" * 18
    answers = {"one": said(eight + padding, eight + padding + " more", seven)}
    (_, repeats), _ = memorization(PROMPTS[:2] + PROMPTS[:1], answers, ROWS)
    assert repeats.item_values("one").tolist() == [1, 0, 0]


def test_a_long_overlap_is_truncated_in_the_record():
    text = " ".join(f"word{number}" for number in range(100))
    _, [shown] = memorization(PROMPTS[:1], {"one": said(text)}, [text])
    assert (shown["n_words"], shown["text"]) == (100, text[:200])
