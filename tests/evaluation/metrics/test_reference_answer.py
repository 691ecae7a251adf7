"""Agreement with references: cases by hand, and the libraries called directly."""

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import CHRF

from pipelines.evaluation.metrics.reference_answer import MAX_ROUGE_WORDS, chrf, exact_match, rouge_l, token_f1

PAIRS = [
    ("The cat sat on the mat.", "A cat is on the mat"), ("police killed the gunman", "police kill the gunman"),
    ("no words shared", "something else entirely"), ("It's 3.5% of $10, isn't it?", "3.5 % of 10 dollars"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "references", "expected"), [
    ("the Paris.", ["Paris"], True), ("Paris, France", ["Paris", "paris france"], True),
    ("In Paris", ["Paris"], False), ("", ["Paris"], False), ("Another theory", ["other theory"], False),
    ("  The quick,  brown fox's\ta den! ", ["quick brown foxs den"], True),
])  # fmt: skip
def test_an_exact_match_is_one_of_the_references(answer, references, expected):
    assert exact_match(answer, references) is expected


@pytest.mark.parametrize(("answer", "references", "expected"), [
    ("the cat sat", ["a cat sat down"], 2 * (1.0 * 2 / 3) / (1 + 2 / 3)),
    ("red red red", ["red"], 2 * (1 / 3) / (1 + 1 / 3)), ("red", ["green"], 0.0), ("", ["green"], 0.0),
    ("the", ["a"], 0.0), ("blue sky", ["green grass", "blue"], 2 * (1 / 2) / (1 + 1 / 2)),
])  # fmt: skip
def test_token_f1_is_the_harmonic_mean_over_bags_of_words(answer, references, expected):
    assert token_f1(answer, references) == pytest.approx(expected)


@pytest.mark.parametrize(("answer", "reference"), PAIRS)
def test_rouge_l_and_chrf_are_those_of_the_libraries(answer, reference):
    assert rouge_l(answer, [reference]) == pytest.approx(RougeScorer(["rougeL"]).score(reference, answer)["rougeL"][2])
    assert chrf(answer, [reference]) == pytest.approx(CHRF().sentence_score(answer, [reference]).score / 100)


def test_rouge_l_reads_every_script_and_the_best_reference_counts():
    assert rouge_l("сегодня хорошая погода", ["сегодня плохая погода"]) == pytest.approx(2 / 3)
    assert rouge_l("blue sky", ["green grass", "blue sky"]) == 1.0
    assert chrf("blue sky", ["green grass", "blue sky"]) == pytest.approx(1.0)


def test_rouge_l_of_a_long_text_counts_all_words_and_matches_the_first_thousand():
    common = [f"word{number}" for number in range(MAX_ROUGE_WORDS + 500)]
    assert rouge_l(" ".join(common), [" ".join(common)]) == pytest.approx(MAX_ROUGE_WORDS / len(common))
    short = " ".join(common[:10])
    assert rouge_l(" ".join(common), [short]) == pytest.approx(2 * 10 / (10 + len(common)))


@pytest.mark.parametrize(("answer", "reference", "same"), [
    ("", "A", False), ("the", "A", False), ("a", "A", True), ("", "+", False), ("-", "+", False), ("!=", "!=", True),
])  # fmt: skip
def test_a_reference_that_normalization_empties_is_compared_unchanged(answer, reference, same):
    assert exact_match(answer, [reference]) is same
    assert token_f1(answer, [reference]) == float(same)
