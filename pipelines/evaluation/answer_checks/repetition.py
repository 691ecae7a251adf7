"""Whether an answer repeats itself: runs of words seen before, distinct runs, an end that goes round in a circle."""

from pipelines.evaluation.answer_checks.text_units import ngrams, words_and_symbols

_NGRAM = 4
_MIN_CYCLES = 3
_MIN_LOOP_CHARACTERS = 40  # "very, very, very" is no loop, nor is `radius * radius * radius`
_MIN_SYMBOL_LOOP_CHARACTERS = 100  # nor is a rule of dashes, or a row of table cells
MAX_END_CHARACTERS = 6_000


def repetition(text: str) -> float:
    """1 - distinct 4-grams / 4-grams, over words and single symbols; 0 for a text of fewer than four."""
    runs = ngrams(words_and_symbols(text), _NGRAM)
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def distinct(text: str, n: int) -> float | None:
    """Distinct n-grams / n-grams over words and single symbols; None for a text of fewer than `n` of them.

    distinct-1 and distinct-2 of J. Li et al., A Diversity-Promoting Objective Function for Neural Conversation Models
    (NAACL 2016), within one answer.
    """
    runs = ngrams(words_and_symbols(text), n)
    return len(set(runs)) / len(runs) if runs else None


def ends_in_loop(text: str) -> bool:
    """Whether the text ends in one stretch said three times or more, at least 40 characters (100 of symbols alone).

    Looks at the last 6,000 characters, so at stretches of up to 2,000. A stretch of length p repeats to the end of the
    text where the reversed text matches itself for two p or more from place p on: the Z-function of D. Gusfield,
    Algorithms on Strings, Trees and Sequences (1997), section 1.4, gives all those matches in one pass.
    """
    end = text.rstrip()[-MAX_END_CHARACTERS:][::-1]
    for period, n_matching in enumerate(_matches_of_itself(end)):
        if period and n_matching + _n_spaces_after(end[:period], n_matching) >= (_MIN_CYCLES - 1) * period:
            says_something = any(character.isalnum() for character in end[:period])
            if period + n_matching >= (_MIN_LOOP_CHARACTERS if says_something else _MIN_SYMBOL_LOOP_CHARACTERS):
                return True
    return False


def _n_spaces_after(cycle: str, n_matching: int) -> int:
    """Spaces that divide the rounds (the cycle is reversed): the last round of a text has none after it."""
    return len(cycle) - len(cycle.rstrip()) if n_matching >= len(cycle) else 0


def _matches_of_itself(text: str) -> list[int]:
    """For each place the length of the longest match between the text from there on and its beginning."""
    found = [0] * len(text)
    begin = end = 0
    for place in range(1, len(text)):
        n = min(end - place, found[place - begin]) if place < end else 0
        while place + n < len(text) and text[n] == text[place + n]:
            n += 1
        found[place] = n
        if place + n > end:
            begin, end = place, place + n
    return found
