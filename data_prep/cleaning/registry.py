"""All cleaning steps by name, the steps that are on by default, and the steps file.

To add a step, write a `RowStep` in a module of `steps/`, and name the module here.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_prep.cleaning.duplicates.near_duplicates import NearDuplicateOptions
from data_prep.cleaning.duplicates.semantic import SemanticDuplicateOptions
from data_prep.cleaning.step import NoOptions, RowStep
from data_prep.cleaning.steps import (
    answers,
    broken_text,
    contamination,
    control_characters,
    credentials,
    datatrove_filters,
    language,
    length,
    markup,
    personal_data,
    presidio,
    refusals,
    repetition,
)
from data_prep.cleaning.yaml_options import dataclass_of, did_you_mean, read_yaml_list
from data_prep.dataset_folder import DatasetKind
from pipelines.errors import UserError

_MODULES = (
    broken_text, control_characters, markup, refusals, credentials, personal_data, presidio, answers, length,
    repetition, language, contamination, datatrove_filters,
)  # fmt: skip
ROW_STEPS: dict[str, RowStep] = {step.name: step for module in _MODULES for step in module.STEPS}
# steps over all rows together, in this order after the row steps
DATASET_STEPS: dict[str, type] = {
    "exact_duplicates": NoOptions,
    "near_duplicates": NearDuplicateOptions,
    "semantic_duplicates": SemanticDuplicateOptions,
}

# Steps that repair come first, so that the others read what is kept. Secrets come before personal data: after
# `user:password@` an address of e-mail would be found.
_REPAIRS = ("mojibake", "control_characters", "html_entities", "markup")
DEFAULT_STEPS = (
    *_REPAIRS, "placeholders", "secrets", "personal_data", "empty", "replacement_characters", "repetition", "runs_on",
    "cut_off", "refusals", "exact_duplicates", "near_duplicates",
)  # fmt: skip
DEFAULT_STEPS_OF_A_CORPUS = (
    *_REPAIRS, "secrets", "empty", "replacement_characters", "repetition", "exact_duplicates",
)  # fmt: skip


@dataclass(frozen=True)
class ChosenStep:
    """A step with its options."""

    name: str
    options: Any

    def to_json(self) -> dict[str, Any]:
        """Return the step as the manifest records it."""
        return {self.name: asdict(self.options)}


def default_steps(kind: DatasetKind) -> list[ChosenStep]:
    """Return the steps of a build without a steps file."""
    names = DEFAULT_STEPS_OF_A_CORPUS if kind is DatasetKind.CORPUS else DEFAULT_STEPS
    return [_chosen(name, None, "the default steps") for name in names]


def read_steps(path: Path) -> list[ChosenStep]:
    """Read a steps file: a list of names, or of `name: {option: value}`.

    Raises `UserError` for an unknown step or option, a step named twice, or a step over all rows before a row step.
    """
    steps = [_step_of(entry, str(path)) for entry in read_yaml_list(path, "--steps")]
    return in_order(steps, str(path))


def in_order(steps: Iterable[ChosenStep], place: str) -> list[ChosenStep]:
    """Return `steps`. Raises `UserError` if one is named twice, or if a row step follows a step over all rows."""
    steps = list(steps)
    names = [step.name for step in steps]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UserError(f"{place} names the step {name} twice", "remove one of the two")
        late = [before for before in names[:number] if before in DATASET_STEPS]
        order = list(DATASET_STEPS)
        if late and (name in ROW_STEPS or order.index(name) < order.index(late[-1])):
            raise UserError(f"{place} has {name} after {late[-1]}", f"move {name} before {late[0]}")
    return steps


def with_options(steps: Iterable[ChosenStep], name: str, **options: Any) -> list[ChosenStep]:
    """Return `steps` with the row step `name` and these options, in its place, or after `empty`, or first."""
    kept = list(steps)
    places = [number for number, step in enumerate(kept) if step.name == name]
    known = asdict(kept[places[0]].options) if places else {}
    chosen = ChosenStep(name, ROW_STEPS[name].options(**{**known, **options}))
    if places:
        kept[places[0]] = chosen
        return kept
    place = next((number for number, step in enumerate(kept, start=1) if step.name == "empty"), 0)
    return [*kept[:place], chosen, *kept[place:]]


def _step_of(entry: Any, place: str) -> ChosenStep:
    if isinstance(entry, str):
        return _chosen(entry, None, place)
    if isinstance(entry, dict) and len(entry) == 1:
        [(name, options)] = entry.items()
        return _chosen(str(name), options, place)
    raise UserError(f"{place} has the entry {entry!r}, expected a step", "write `- name` or `- name: {option: value}`")


def _chosen(name: str, options: Any, place: str) -> ChosenStep:
    kinds = {**{one: step.options for one, step in ROW_STEPS.items()}, **DATASET_STEPS}
    if name not in kinds:
        raise UserError(f"{place} has the step {name!r}, expected {', '.join(kinds)}", did_you_mean(name, kinds))
    return ChosenStep(name, dataclass_of(kinds[name], options, f"{name} in {place}"))
