"""Repetition, distinct runs and loops against cases counted by hand."""

import pytest

from pipelines.evaluation.answer_checks.repetition import MAX_END_CHARACTERS, distinct, ends_in_loop, repetition


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0.0),
        ("one two three", 0.0),
        ("one two three four", 0.0),
        ("a b c d e f g h", 0.0),
        ("a a a a a a a a", 1 - 1 / 5),
        ("a b c d a b c d", 1 - 4 / 5),
        ("x=1;x=1;", 1 - 4 / 5),
    ],
)
def test_repetition_is_the_share_of_four_grams_seen_before(text: str, expected: float) -> None:
    assert repetition(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "n", "expected"),
    [
        ("", 1, None),
        ("one", 1, 1.0),
        ("one", 2, None),
        ("to be or not to be", 1, 4 / 6),
        ("to be or not to be", 2, 4 / 5),
        ("x = x", 1, 2 / 3),
    ],
)
def test_distinct_counts_runs_once(text: str, n: int, expected: float | None) -> None:
    assert distinct(text, n) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    "text",
    [
        "It is good. " + "It is the best of all. " * 3,
        "start " + "the " * 10,
        "fine until here " + "and so on and so " * 5 + "and so",  # cut in the middle of a round
        "a" * 40,
        "def f():\n" + "    return x\n" * 5,
        "今日は天気がいいです。" * 4,
        "=" * 100,
        "x" * (MAX_END_CHARACTERS * 3) + "The end of it all, said once and again. " * 3 + "\n\n",
        "y" + "".join(map(str, range(500))) * 3,
    ],
)
def test_an_end_that_goes_round_three_times_is_a_loop(text: str) -> None:
    assert ends_in_loop(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no no no",
        "very, very, very good",
        "It is the best of all the things that I know. " * 2,
        "the " * 30 + "and then it found its way out",
        "f(g(h(((((((1))))))))",
        "Title\n" + "-" * 60,
        "4 / 3 * 3.14 * radius * radius * radius",
        " ".join(map(str, range(500))),
        "\n" * 500,
    ],
)
def test_what_ends_otherwise_is_no_loop(text: str) -> None:
    assert not ends_in_loop(text)


def test_loops_are_found_as_by_looking_at_every_length() -> None:
    def plainly(text: str) -> bool:
        lengths = range(1, len(text) // 3 + 1)
        return any(text[-3 * n :] == text[-n:] * 3 and _stretch(text, n) >= 40 for n in lengths)

    texts = [("ab" * a + "c" * b) * n for a in range(4) for b in range(4) for n in range(1, 14) if a + b]
    found = [ends_in_loop(text) for text in texts]
    assert found == [plainly(text) for text in texts]
    assert 0 < sum(found) < len(found)


def _stretch(text: str, n: int) -> int:
    matching = 0
    while matching + n < len(text) and text[-1 - matching] == text[-1 - matching - n]:
        matching += 1
    return matching + n
