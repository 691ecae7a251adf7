"""The metrics of one answer: one function each, registered in the order of a report page.

To add a metric, write a function of one `CheckedAnswer` in this file; None means that the metric does not apply. Its
name is the metric's id, its docstring the meaning that reports print. Decorate it with `@_flag` (yes or no) or
`@_number` (label, unit, direction, table), and add a case to `CASES` in tests/evaluation/metrics/test_registry.py,
at its place in the order, and its name to the set of prompts that it applies to.
compare.py, the reports and `evaluate.load("pipelines/evaluation/metrics/answer", NAME)` then have it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.evaluation.metrics import language as languages
from pipelines.evaluation.metrics import numeric_answer as numbers
from pipelines.evaluation.metrics import reference_answer, text_units
from pipelines.evaluation.metrics import repetition as repeats
from pipelines.evaluation.metrics.checked_answer import CheckedAnswer
from pipelines.evaluation.statistics.metric_definition import Group, MetricDefinition

Value = bool | int | float | None
Check = Callable[[CheckedAnswer], Value]


@dataclass(frozen=True)
class Metric:
    """A metric and the function that measures it on one answer."""

    definition: MetricDefinition
    check: Check


METRICS: dict[str, Metric] = {}


def response_checks(answer: CheckedAnswer) -> dict[str, Value]:
    """Measure every metric of one answer, by name; None where a metric does not apply."""
    return {name: metric.check(answer) for name, metric in METRICS.items()}


def _number(label: str, unit: str, better: str, group: Group, *, is_flag: bool = False) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        meaning = " ".join((check.__doc__ or "").split()).rstrip(".")
        meaning = meaning[:1].lower() + meaning[1:]
        definition = MetricDefinition(check.__name__, label, unit, better, meaning, group, is_flag)
        METRICS[check.__name__] = Metric(definition, check)
        return check

    return register


def _flag(label: str, better: str, group: Group) -> Callable[[Check], Check]:
    return _number(label, "share", better, group, is_flag=True)


@_flag("empty answers", "lower", Group.STOPPING)
def empty_answers(one: CheckedAnswer) -> Value:
    """Share of answers without any text. They do not count as stopped, and metrics of the text leave them out."""
    return one.is_empty


@_flag("stops on its own", "higher", Group.STOPPING)
def stopped_by_itself(one: CheckedAnswer) -> Value:
    """Share of answers that have text and ended with the model's own end token before the token limit."""
    return one.stopped and not one.is_empty


@_number("answer length", "tokens", "neither", Group.STOPPING)
def n_tokens(one: CheckedAnswer) -> Value:
    """Mean length of an answer, end token excluded."""
    return one.n_tokens


@_number("answer length in words", "words", "neither", Group.STOPPING)
def n_words(one: CheckedAnswer) -> Value:
    """Mean number of words of an answer, which does not depend on the tokenizer."""
    return len(text_units.words(one.text))


@_number("repetition", "share", "lower", Group.TEXT)
def repetition(one: CheckedAnswer) -> Value:
    """Share of an answer's 4-grams of words or symbols that occurred in it before."""
    return None if one.is_empty else repeats.repetition(one.text)


@_number("distinct-2", "share", "neither", Group.TEXT)
def distinct_2(one: CheckedAnswer) -> Value:
    """Share of an answer's 2-grams of words or symbols that are distinct. Random text has the highest value."""
    return repeats.distinct(one.text, 2)


@_flag("ends in a loop", "lower", Group.TEXT)
def ends_in_loop(one: CheckedAnswer) -> Value:
    """Share of answers that end in one piece of text repeated three times or more."""
    return None if one.is_empty else repeats.ends_in_loop(one.text)


@_number("echo of the prompt", "share", "neither", Group.TEXT)
def prompt_echo(one: CheckedAnswer) -> Value:
    """Share of an answer's 4-grams of words or symbols that are in the prompt; prompts for code excluded."""
    return repeats.prompt_echo(one.text, one.prompt) if one.is_about_text else None


@_flag("begins with the prompt", "lower", Group.TEXT)
def begins_with_prompt(one: CheckedAnswer) -> Value:
    """Share of answers that begin by repeating the instruction; prompts for code excluded."""
    return repeats.begins_with_prompt(one.text, one.instruction) if one.is_about_text else None


@_flag("language of the prompt", "higher", Group.TEXT)
def same_language(one: CheckedAnswer) -> Value:
    """Share of answers in the prompt's language, where both are long enough to identify; code excluded."""
    asks_for_language = any(constraint.asks_for_language for constraint in one.constraints)
    return None if asks_for_language or not one.is_about_text else languages.same_language(one.text, one.prompt)


@_flag("follows every constraint", "higher", Group.INSTRUCTION)
def follows_all_constraints(one: CheckedAnswer) -> Value:
    """Share of answers that follow every verifiable constraint of their prompt."""
    return all(one.followed) if one.followed else None


@_number("constraints followed", "share", "higher", Group.INSTRUCTION)
def constraints_followed(one: CheckedAnswer) -> Value:
    """Share of a prompt's verifiable constraints that its answer follows, mean over prompts."""
    return sum(one.followed) / len(one.followed) if one.followed else None


@_flag("exact match", "higher", Group.REFERENCE)
def exact_match(one: CheckedAnswer) -> Value:
    """Share of answers equal to a reference of up to 10 words, except for case, punctuation and articles."""
    return reference_answer.exact_match(one.text, one.short_references) if one.short_references else None


@_number("token F1", "share", "higher", Group.REFERENCE)
def token_f1(one: CheckedAnswer) -> Value:
    """Overlap of an answer's words with those of a reference of up to 10 words, as bags of words."""
    return reference_answer.token_f1(one.text, one.short_references) if one.short_references else None


@_number("ROUGE-L", "share", "higher", Group.REFERENCE)
def rouge_l(one: CheckedAnswer) -> Value:
    """Longest common subsequence of words with the reference, F-measure; prompts for code excluded."""
    return reference_answer.rouge_l(one.text, one.prose_references) if one.prose_references else None


@_number("chrF", "share", "higher", Group.REFERENCE)
def chrf(one: CheckedAnswer) -> Value:
    """Overlap of character n-grams (n from 1 to 6) with the reference, F2 of each answer, from 0 to 1."""
    return reference_answer.chrf(one.text, one.given_references) if one.given_references else None


@_flag("right number", "higher", Group.REFERENCE)
def numeric_answer(one: CheckedAnswer) -> Value:
    """Share of answers whose number, after #### or else the last, equals the expected one."""
    return None if one.number is None else numbers.numeric_answer(one.text, one.number)


@_flag("parses", "higher", Group.PYTHON)
def parses(one: CheckedAnswer) -> Value:
    """Share of answers that are not empty and parse as Python as a whole."""
    return one.python.parses if one.python else None


@_flag("defines the requested name", "higher", Group.PYTHON)
def defines_requested_name(one: CheckedAnswer) -> Value:
    """Share of answers that define the requested function, in their longest part that parses."""
    return one.python.defines_requested_name if one.python else None


@_flag("takes the requested parameters", "higher", Group.PYTHON)
def takes_requested_parameters(one: CheckedAnswer) -> Value:
    """Share of answers whose function has the requested parameters, in their order."""
    return one.python.takes_requested_parameters if one.python else None
