import random

import pytest

from pipelines.evaluation.likelihood.shared_token_runs import SharedRun, longest_shared_runs


def naive_run(query: list[str | None], texts: list[list[str]]) -> int:
    longest = 0
    for begin in range(len(query)):
        for text in texts:
            for place in range(len(text)):
                n = 0
                while (
                    begin + n < len(query)
                    and place + n < len(text)
                    and query[begin + n] is not None
                    and query[begin + n] == text[place + n]
                ):
                    n += 1
                longest = max(longest, n)
    return longest


@pytest.mark.parametrize("n_words", [2, 3, 12])
def test_the_longest_run_is_that_of_a_comparison_of_all_places(n_words):
    generator = random.Random(n_words)
    vocabulary = [f"w{number}" for number in range(n_words)]
    texts = [generator.choices(vocabulary, k=generator.randrange(30)) for _ in range(12)]
    queries: list[list[str | None]] = [
        generator.choices([*vocabulary, None, "unknown"], k=generator.randrange(25)) for _ in range(60)
    ]
    found = longest_shared_runs(queries, texts)
    assert [run.n_words for run in found] == [naive_run(query, texts) for query in queries]
    assert max(run.n_words for run in found) > 3
    for query, run in zip(queries, found, strict=True):
        if run.text is None:
            assert run == SharedRun(0, 0, None)
            continue
        words, text = query[run.begin : run.begin + run.n_words], texts[run.text]
        assert any(text[place : place + run.n_words] == words for place in range(len(text)))


def test_nothing_is_shared_with_nothing():
    assert longest_shared_runs([["a"], []], []) == [SharedRun(0, 0, None)] * 2
    assert longest_shared_runs([["a"], []], [[], ["b"]]) == [SharedRun(0, 0, None)] * 2
    assert longest_shared_runs([], [["a"]]) == []


def test_the_first_of_rows_that_all_repeat_one_long_passage_is_found():
    passage = [f"w{number}" for number in range(300)]
    texts = [[*passage, f"row{number}"] for number in range(500)]
    found = longest_shared_runs([["well", *passage, "row77"]] * 20, texts)
    assert found == [SharedRun(1, 301, 77)] * 20
