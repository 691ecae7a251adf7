"""The constraints of a prompt: read from its row, checked once, and whether an answer follows them.

A row has its own `constraints`, a list of objects with `kind` and arguments, or the names of those that need none:

    [{"kind": "n_words", "at_most": 50}, {"kind": "includes", "words": ["sea", "salt"]}, "no_commas"]

or IFEval's `instruction_id_list` and `kwargs`. Both may also be JSON text, as a CSV file has them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.errors import UserError
from pipelines.evaluation.answer_checks.constraint_kinds import BOUNDS, KINDS
from pipelines.evaluation.answer_checks.ifeval import kind_and_arguments
from pipelines.evaluation.answer_checks.language import known_languages

_WORDS_FOR = {str: "text that is not empty", int: "a whole number of 0 or more", list: "a list of texts"}


@dataclass(frozen=True)
class Constraint:
    """A verifiable instruction. `name` is the kind, or IFEval's id for it; `arguments` are those of the kind."""

    name: str
    kind: str
    arguments: Mapping[str, Any]

    @property
    def asks_for_language(self) -> bool:
        """Whether it is about the language of the answer."""
        return "language" in self.arguments and self.kind != "code_block"


def follows(answer: str, constraint: Constraint) -> bool:
    """Whether the answer follows the constraint to the letter; an empty one follows none."""
    if not answer.strip():
        return False
    kind = KINDS[constraint.kind]
    bounds = {name: value for name, value in constraint.arguments.items() if kind.counts and name in BOUNDS}
    found = kind.measure(answer, **{name: value for name, value in constraint.arguments.items() if name not in bounds})
    if not kind.counts:
        return bool(found)
    return bounds.get("at_least", 0) <= found <= bounds.get("at_most", found) and found == bounds.get("exactly", found)


def constraints_of(row: Mapping[str, Any], where: str) -> tuple[Constraint, ...]:
    """The constraints in a row, its own before IFEval's; none is an empty tuple.

    Raises `UserError` for one that is unknown or has not the arguments that it needs; `where` names the row.
    """
    ours = _list_in(row, "constraints", where)
    ids = _list_in(row, "instruction_id_list", where)
    arguments = _list_in(row, "kwargs", where) if ids else []  # a row may have `kwargs` of its own
    if len(ids) != len(arguments):
        raise UserError(
            expected=f"one entry of `kwargs` for each of `instruction_id_list` in {where}",
            got=f"{len(arguments)} for {len(ids)}",
            remedy="give {} for an instruction without arguments",
        )
    pairs = [(str(id), _present(given, where)) for id, given in zip(ids, arguments, strict=True)]
    return (
        *(_constraint_of(one, where) for one in ours),
        *(_checked(id, *kind_and_arguments(id, given, where), where) for id, given in pairs),
    )


def given_constraints(given: Any) -> tuple[Constraint, ...]:
    """The constraints of one answer in a caller's words: a list of our own, or an object with IFEval's two columns."""
    return constraints_of(given if isinstance(given, Mapping) else {"constraints": given}, "an answer's constraints")


def _constraint_of(one: Any, where: str) -> Constraint:
    given = {"kind": one} if isinstance(one, str) else _present(one, where)
    kind = given.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(
            expected=f"a known `kind` of constraint in {where}", got=repr(kind), remedy=f"known are {', '.join(KINDS)}"
        )
    return _checked(kind, kind, given, where)


def _checked(name: str, kind: str, arguments: dict[str, Any], where: str) -> Constraint:
    known = KINDS[kind]
    allowed = {**known.needs, **known.takes, **(dict.fromkeys(BOUNDS, int) if known.counts else {})}
    missing = [needed for needed in known.needs if needed not in arguments]
    if known.counts and not any(bound in arguments for bound in BOUNDS):
        missing.append("at_least, at_most or exactly")
    wrong = [argument for argument in arguments if argument not in allowed]
    if missing or wrong:
        raise UserError(
            expected=f"the arguments of {name} in {where}",
            got=f"none called {missing[0]}" if missing else f"one called {wrong[0]}",
            remedy=f"it takes {', '.join(allowed) or 'none'}",
        )
    values = {
        argument: _value(value, allowed[argument], f"{argument} of {name} in {where}")
        for argument, value in arguments.items()
    }
    if kind != "code_block" and "language" in values and values["language"] not in known_languages():
        raise UserError(
            expected=f"a language of py3langid in {where}",
            got=repr(values["language"]),
            remedy="give its ISO 639-1 code, as en or de",
        )
    return Constraint(name, kind, values)


def _value(value: Any, wanted: type, what: str) -> Any:
    """The value as `wanted`; a number that a column of floats made 3.0 is 3."""
    if wanted is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    texts = [value] if wanted is str else value if wanted is list else []
    fits = isinstance(value, wanted) and not isinstance(value, bool) and value != []
    if not fits or (wanted is int and value < 0) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise UserError(expected=f"{_WORDS_FOR[wanted]} as {what}", got=repr(value)[:60], remedy="correct it")
    return value


def _present(given: Any, where: str) -> dict[str, Any]:
    """The arguments that have a value: a column of structs holds all names for every row."""
    if not isinstance(given, Mapping):
        raise UserError(
            expected=f"an object for each constraint in {where}", got=repr(given)[:60], remedy="write it as {...}"
        )
    return {str(name): value for name, value in given.items() if value is not None}


def _list_in(row: Mapping[str, Any], column: str, where: str) -> Sequence[Any]:
    value = row.get(column)
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(
                expected=f"a list in {column!r} in {where}",
                got=f"text that is no JSON ({error})",
                remedy="correct it",
            ) from error
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise UserError(
            expected=f"a list in {column!r} in {where}", got=f"a {type(value).__name__}", remedy="write it as [...]"
        )
    return value
