"""The constraints of a prompt: read them from a row, validate them, and check whether an answer follows them.

A row has its own `constraints`, a list of objects with `kind` and arguments, or the names of those that need none:

    [{"kind": "n_words", "at_most": 50}, {"kind": "includes", "words": ["sea", "salt"]}, "no_commas"]

or IFEval's `instruction_id_list` and `kwargs` (J. Zhou et al., Instruction-Following Evaluation for Large Language
Models, arXiv:2311.07911, 2023, table 1). Both may also be JSON text, as in a CSV file. For a score that compares with
published ones, run lm-eval's task `ifeval` by benchmark.py. Its checkers are not used here: 2 of the 25 need data that
nltk downloads, and an answer of 20,000 open brackets takes one of them 20 s. Differences from them: keywords are
literal, sentences are split by `text_units`, py3langid identifies languages, JSON has no NaN.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.errors import UserError
from pipelines.evaluation.metrics.constraint_kinds import BOUNDS, KINDS
from pipelines.evaluation.metrics.language import known_languages

_TYPE_NAMES = {str: "text that is not empty", int: "a whole number of 0 or more", list: "a list of texts"}

# By IFEval's id: our kind, and the names of its arguments here. `relation` ("less than", "at least") and `number` make
# at_most or at_least.
_IFEVAL: dict[str, tuple[str, dict[str, str]]] = {
    "keywords:existence": ("includes", {"keywords": "words"}),
    "keywords:frequency": ("keyword_frequency", {"keyword": "keyword", "relation": "relation", "frequency": "number"}),
    "keywords:forbidden_words": ("excludes", {"forbidden_words": "words"}),
    "keywords:letter_frequency": (
        "letter_frequency",
        {"letter": "letter", "let_relation": "relation", "let_frequency": "number"},
    ),
    "language:response_language": ("language", {"language": "language"}),
    "length_constraints:number_sentences": ("n_sentences", {"relation": "relation", "num_sentences": "number"}),
    "length_constraints:number_paragraphs": ("n_paragraphs", {"num_paragraphs": "exactly"}),
    "length_constraints:number_words": ("n_words", {"relation": "relation", "num_words": "number"}),
    "length_constraints:nth_paragraph_first_word": (
        "first_word_of_paragraph",
        {"first_word": "word", "nth_paragraph": "paragraph", "num_paragraphs": "n_paragraphs"},
    ),
    "detectable_content:number_placeholders": ("n_placeholders", {"num_placeholders": "at_least"}),
    "detectable_content:postscript": ("postscript", {"postscript_marker": "marker"}),
    "detectable_format:number_bullet_lists": ("n_bullets", {"num_bullets": "exactly"}),
    "detectable_format:constrained_response": ("one_of", {}),
    "detectable_format:number_highlighted_sections": ("n_highlights", {"num_highlights": "at_least"}),
    "detectable_format:multiple_sections": ("n_sections", {"section_spliter": "heading", "num_sections": "at_least"}),
    "detectable_format:json_format": ("json", {}),
    "detectable_format:title": ("title", {}),
    "combination:two_responses": ("two_responses", {}),
    "combination:repeat_prompt": ("repeats_prompt", {"prompt_to_repeat": "prompt"}),
    "startend:end_checker": ("ends_with", {"end_phrase": "phrase"}),
    "startend:quotation": ("quotation", {}),
    "change_case:capital_word_frequency": (
        "n_capital_words",
        {"capital_relation": "relation", "capital_frequency": "number"},
    ),
    "change_case:english_capital": ("upper_case", {}),
    "change_case:english_lowercase": ("lower_case", {}),
    "punctuation:no_comma": ("no_commas", {}),
}
_IFEVAL_CONSTANTS: dict[str, dict[str, Any]] = {
    "length_constraints:number_paragraphs": {"separator": "***"},
    "detectable_format:constrained_response": {
        "options": ["My answer is yes.", "My answer is no.", "My answer is maybe."]
    },
    "change_case:english_capital": {"language": "en"},
    "change_case:english_lowercase": {"language": "en"},
}
IFEVAL_IDS = tuple(_IFEVAL)


@dataclass(frozen=True)
class Constraint:
    """A verifiable instruction. `name` is the kind, or IFEval's id for it; `arguments` are those of the kind."""

    name: str
    kind: str
    arguments: Mapping[str, Any]

    @property
    def asks_for_language(self) -> bool:
        """Whether it constrains the language of the answer."""
        return "language" in self.arguments and self.kind != "code_block"


def follows(answer: str, constraint: Constraint) -> bool:
    """Whether the answer follows the constraint strictly; an empty one follows none."""
    if not answer.strip():
        return False
    kind = KINDS[constraint.kind]
    bounds = {name: value for name, value in constraint.arguments.items() if kind.counts and name in BOUNDS}
    found = kind.measure(answer, **{name: value for name, value in constraint.arguments.items() if name not in bounds})
    if not kind.counts:
        return bool(found)
    return bounds.get("at_least", 0) <= found <= bounds.get("at_most", found) and found == bounds.get("exactly", found)


def constraints_of(row: Mapping[str, Any], where: str) -> tuple[Constraint, ...]:
    """Read the constraints of a row, its own before IFEval's; an empty tuple if it has none. Raises `UserError` for an
    unknown one or wrong arguments; `where` names the row."""
    ours = _list_in(row, "constraints", where)
    ids = _list_in(row, "instruction_id_list", where)
    arguments = _list_in(row, "kwargs", where) if ids else []  # a row may have `kwargs` of its own
    if len(ids) != len(arguments):
        problem = f"{where} has {len(arguments)} entries in `kwargs` for {len(ids)} in `instruction_id_list`"
        raise UserError(problem, "give one for each, {} for an instruction without arguments")
    pairs = [(str(id), _present(given, where)) for id, given in zip(ids, arguments, strict=True)]
    return (
        *(_own_constraint(one, where) for one in ours),
        *(_ifeval_constraint(id, given, where) for id, given in pairs),
    )


def _own_constraint(one: Any, where: str) -> Constraint:
    given = {"kind": one} if isinstance(one, str) else _present(one, where)
    kind = given.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(f"unknown constraint {kind!r} in {where}", f"use one of {', '.join(KINDS)}")
    return _checked(kind, kind, given, where)


def _ifeval_constraint(id: str, given: Mapping[str, Any], where: str) -> Constraint:
    if id not in _IFEVAL:
        raise UserError(f"unknown IFEval instruction {id!r} in {where}", f"use one of {', '.join(_IFEVAL)}")
    kind, names = _IFEVAL[id]
    unknown = [name for name in given if name not in names]
    if unknown:
        raise UserError(
            f"{id} in {where} has no argument {unknown[0]!r}", f"its arguments are {', '.join(names) or 'none'}"
        )
    arguments = {names[name]: value for name, value in given.items()}
    if "relation" in names.values():
        relation, number = arguments.pop("relation", None), arguments.pop("number", None)
        if relation not in ("less than", "at least") or not isinstance(number, int | float):
            problem = f"{id} in {where} has the relation {relation!r} and the number {number!r}"
            raise UserError(problem, 'give "less than" or "at least", and a number')
        arguments |= {"at_least": number} if relation == "at least" else {"at_most": number - 1}
    return _checked(id, kind, {**arguments, **_IFEVAL_CONSTANTS.get(id, {})}, where)


def _checked(name: str, kind: str, arguments: dict[str, Any], where: str) -> Constraint:
    known = KINDS[kind]
    allowed = {**known.needs, **known.takes, **(dict.fromkeys(BOUNDS, int) if known.counts else {})}
    missing = [needed for needed in known.needs if needed not in arguments]
    if known.counts and not any(bound in arguments for bound in BOUNDS):
        missing.append("at_least, at_most or exactly")
    wrong = [argument for argument in arguments if argument not in allowed]
    if missing or wrong:
        fault = f"is missing {missing[0]}" if missing else f"has no argument {wrong[0]!r}"
        raise UserError(f"{name} in {where} {fault}", f"its arguments are {', '.join(allowed) or 'none'}")
    values = {
        argument: _value(value, allowed[argument], f"{argument} of {name} in {where}")
        for argument, value in arguments.items()
    }
    if kind != "code_block" and "language" in values and values["language"] not in known_languages():
        raise UserError(
            f"{values['language']!r} in {where} is not a language of py3langid", "give its ISO 639-1 code, as en or de"
        )
    return Constraint(name, kind, values)


def _value(value: Any, wanted: type, where: str) -> Any:
    """Return the value as `wanted`; a column of floats turns 3 into 3.0."""
    if wanted is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    texts = [value] if wanted is str else value if wanted is list else []
    fits = isinstance(value, wanted) and not isinstance(value, bool) and value != []
    if not fits or (wanted is int and value < 0) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise UserError(f"{where} is {repr(value)[:60]}", f"give {_TYPE_NAMES[wanted]}")
    return value


def _present(given: Any, where: str) -> dict[str, Any]:
    """The arguments that have a value: a column of structs has all names in every row."""
    if not isinstance(given, Mapping):
        raise UserError(f"a constraint in {where} is {repr(given)[:60]}, expected an object", "write it as {...}")
    return {str(name): value for name, value in given.items() if value is not None}


def _list_in(row: Mapping[str, Any], column: str, where: str) -> Sequence[Any]:
    value = row.get(column)
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{column!r} in {where} is not JSON ({error})", "write it as a list") from error
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise UserError(f"{column!r} in {where} is a {type(value).__name__}, expected a list", "write it as [...]")
    return value
