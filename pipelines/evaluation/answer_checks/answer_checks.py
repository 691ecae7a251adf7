"""All checks of one answer, and to which prompts each applies."""

from typing import TYPE_CHECKING

from pipelines.evaluation.answer_checks.constraints import follows
from pipelines.evaluation.answer_checks.language import looks_like_code, same_language
from pipelines.evaluation.answer_checks.numeric_answer import numeric_answer
from pipelines.evaluation.answer_checks.prompt_echo import begins_with_prompt, prompt_echo
from pipelines.evaluation.answer_checks.python_answer import python_checks
from pipelines.evaluation.answer_checks.reference_answer import chrf, exact_match, n_reference_words, rouge_l, token_f1
from pipelines.evaluation.answer_checks.repetition import distinct, ends_in_loop, repetition
from pipelines.evaluation.answer_checks.text_units import words

if TYPE_CHECKING:  # prompts reads what these checks need, and generation imports torch
    from pipelines.evaluation.prompts.prompt_sets import Prompt
    from pipelines.inference.generation import Answer

MAX_SHORT_REFERENCE_WORDS = 10
Value = bool | int | float | None


def response_checks(answer: "Answer", prompt: "Prompt") -> dict[str, Value]:
    """All checks of one answer by metric name (see `RESPONSE_METRICS`); None where a check does not apply.

    - repetition, distinct-2, loops, echo and language: where the answer is not empty;
    - echo and language: where the prompt neither asks for code nor is code, which an answer may rightly begin with;
      language not where a constraint asks for one;
    - constraints: where the prompt has some;
    - agreement with the reference: where there is one that is not empty; exact match and token F1 only where all
      references have at most 10 words, ROUGE-L only where no code is asked for (chrF reads symbols, words do not);
    - the number: where the row has `numeric_answer` or a reference with `#### n`;
    - Python: where the instruction names a function.
    """
    text = answer.text
    is_empty = not text.strip()
    return {
        "empty_answers": is_empty,
        "stopped_by_itself": answer.stopped and not is_empty,
        "n_tokens": answer.n_tokens,
        "n_words": len(words(text)),
        "repetition": None if is_empty else repetition(text),
        "distinct_2": distinct(text, 2),
        "ends_in_loop": None if is_empty else ends_in_loop(text),
        **_against_prompt(text, prompt),
        **_constraints(text, prompt),
        **_against_references(text, prompt),
        "numeric_answer": None if prompt.expected_number is None else numeric_answer(text, prompt.expected_number),
        **_python(text, prompt),
    }


def _against_prompt(text: str, prompt: "Prompt") -> dict[str, Value]:
    whole = f"{prompt.instruction}\n{prompt.input}"
    if prompt.asks_for_code or looks_like_code(whole) or not text.strip():
        return dict.fromkeys(("prompt_echo", "begins_with_prompt", "same_language"))
    asks_for_language = any(constraint.asks_for_language for constraint in prompt.constraints)
    return {
        "prompt_echo": prompt_echo(text, whole),
        "begins_with_prompt": begins_with_prompt(text, prompt.instruction),
        "same_language": None if asks_for_language else same_language(text, whole),
    }


def _constraints(text: str, prompt: "Prompt") -> dict[str, Value]:
    followed = [follows(text, constraint) for constraint in prompt.constraints]
    return {
        "follows_all_constraints": all(followed) if followed else None,
        "constraints_followed": sum(followed) / len(followed) if followed else None,
    }


def _against_references(text: str, prompt: "Prompt") -> dict[str, Value]:
    references = [reference for reference in prompt.accepted_answers if reference.strip()]
    is_short = all(n_reference_words(reference) <= MAX_SHORT_REFERENCE_WORDS for reference in references)
    of_words = bool(references) and not prompt.asks_for_code
    return {
        "exact_match": exact_match(text, references) if of_words and is_short else None,
        "token_f1": token_f1(text, references) if of_words and is_short else None,
        "rouge_l": rouge_l(text, references) if of_words else None,
        "chrf": chrf(text, references) if references else None,
    }


def _python(text: str, prompt: "Prompt") -> dict[str, Value]:
    requested = prompt.requested
    checks = python_checks(text, requested) if requested else None
    return {
        "parses": checks.parses if checks else None,
        "defines_requested_name": checks.defines_requested_name if checks else None,
        "takes_requested_parameters": checks.takes_requested_parameters if checks else None,
    }
