"""Whether an answer repeats itself or the prompt: repeated and distinct n-grams, loops at the end, prompt echo."""

from pipelines.evaluation.metrics.text_units import ngrams, words_and_symbols

_NGRAM = 4
_MIN_CYCLES = 3
_MIN_LOOP_CHARACTERS = 40  # "very, very, very" is not a loop, nor is `radius * radius * radius`
_MIN_SYMBOL_LOOP_CHARACTERS = 100  # nor is a rule of dashes, or a row of table cells
MAX_END_CHARACTERS = 6_000
_MAX_BEGINNING = 8
_MIN_BEGINNING = 4  # "Hello" is an answer to "Hello?"


def repetition(text: str) -> float:
    """1 - distinct 4-grams / 4-grams, over words and single symbols; 0 for a text of fewer than four."""
    runs = ngrams(words_and_symbols(text), _NGRAM)
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def distinct(text: str, n: int) -> float | None:
    """Distinct n-grams / n-grams over words and single symbols of one answer; None for fewer than `n` of them. J. Li et
    al., A Diversity-Promoting Objective Function for Neural Conversation Models (NAACL 2016)."""
    runs = ngrams(words_and_symbols(text), n)
    return len(set(runs)) / len(runs) if runs else None


def ends_in_loop(text: str) -> bool:
    """Whether the text ends in one piece repeated three times or more, at least 40 characters (100 of symbols only).

    Reads the last 6,000 characters, so pieces of up to 2,000. A piece of length p repeats to the end of the text where
    the reversed text matches itself for two p or more from position p on: the Z-function of D. Gusfield, Algorithms on
    Strings, Trees and Sequences (1997), section 1.4, gives all those matches in one pass.
    """
    end = text.rstrip()[-MAX_END_CHARACTERS:][::-1]
    for period, n_matching in enumerate(_z_function(end)):
        if period and n_matching + _n_spaces_after(end[:period], n_matching) >= (_MIN_CYCLES - 1) * period:
            has_words = any(character.isalnum() for character in end[:period])
            if period + n_matching >= (_MIN_LOOP_CHARACTERS if has_words else _MIN_SYMBOL_LOOP_CHARACTERS):
                return True
    return False


def prompt_echo(answer: str, prompt: str) -> float:
    """Share of the answer's 4-grams of words or symbols that are in the prompt, ignoring case; 0 for fewer than 4."""
    runs = ngrams(words_and_symbols(answer.casefold()), _NGRAM)
    given = set(ngrams(words_and_symbols(prompt.casefold()), _NGRAM))
    return sum(run in given for run in runs) / len(runs) if runs else 0.0


def begins_with_prompt(answer: str, instruction: str) -> bool | None:
    """Whether the answer begins with the first eight words and symbols of the instruction, or all of a shorter one.

    Ignores case and spaces; None for an instruction of fewer than four. The input of an instruction does not count: a
    corrected text begins like its input.
    """
    beginning = words_and_symbols(instruction.casefold())[:_MAX_BEGINNING]
    if len(beginning) < _MIN_BEGINNING:
        return None
    return words_and_symbols(answer.casefold())[: len(beginning)] == beginning


def _n_spaces_after(cycle: str, n_matching: int) -> int:
    """Spaces between the repeats (the cycle is reversed): the last repeat of a text has none after it."""
    return len(cycle) - len(cycle.rstrip()) if n_matching >= len(cycle) else 0


def _z_function(text: str) -> list[int]:
    """For each position the length of the longest match between the text from there on and its beginning."""
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
