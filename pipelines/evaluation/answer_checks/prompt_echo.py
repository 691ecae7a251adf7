"""Whether an answer gives the prompt back: a base model that goes on with the instruction instead of following it."""

from pipelines.evaluation.answer_checks.text_units import ngrams, words_and_symbols

_NGRAM = 4
_MAX_BEGINNING = 8
_MIN_BEGINNING = 4  # "Hello?" is answered by "Hello"


def prompt_echo(answer: str, prompt: str) -> float:
    """Share of the answer's runs of four words or symbols that the prompt holds, whatever their case.

    0 for an answer of fewer than four.
    """
    runs = ngrams(words_and_symbols(answer.casefold()), _NGRAM)
    given = set(ngrams(words_and_symbols(prompt.casefold()), _NGRAM))
    return sum(run in given for run in runs) / len(runs) if runs else 0.0


def begins_with_prompt(answer: str, instruction: str) -> bool | None:
    """Whether the answer begins with the first eight words and symbols of the instruction, or all of a shorter one,
    whatever their case and spaces; None for one of fewer than four.

    The input that goes with an instruction does not count: who is asked to mend a text begins with it.
    """
    beginning = words_and_symbols(instruction.casefold())[:_MAX_BEGINNING]
    if len(beginning) < _MIN_BEGINNING:
        return None
    return words_and_symbols(answer.casefold())[: len(beginning)] == beginning
