"""Replace personal data by typed marks such as `<EMAIL_ADDRESS>`, or reject the row."""

from collections.abc import Iterator
from dataclasses import dataclass

from data_prep.cleaning.step import RowStep, StepFunction
from data_prep.cleaning.typed_marks import Action, Found, marking_step
from data_prep.text_rules.personal_data import PERSONAL_TYPES, find_personal_data, may_have_personal_data
from pipelines.errors import UserError


@dataclass(frozen=True)
class PersonalDataOptions:
    """`action`: `replace` or `reject`. `types`: what to look for. `keep_examples`: leave what belongs to nobody:
    addresses of example.com, private and documentation IPs, phone numbers of fiction, card numbers for tests."""

    action: str = Action.REPLACE.value
    types: tuple[str, ...] = tuple(PERSONAL_TYPES)
    keep_examples: bool = True


def _make(options: PersonalDataOptions) -> StepFunction:
    if unknown := [name for name in options.types if name not in PERSONAL_TYPES]:
        problem = f"personal_data: unknown type {', '.join(map(repr, unknown))}"
        raise UserError(problem, f"choose from {', '.join(PERSONAL_TYPES)}")

    def find(text: str) -> Iterator[Found]:
        found = find_personal_data(text, options.types, options.keep_examples)
        return (Found(type_, start, end) for type_, start, end in found)

    return marking_step("personal_data", options.action, find, may_have_personal_data)


STEPS = [
    RowStep(
        "personal_data",
        "replace e-mail, IP and MAC addresses, phone, card, bank account and social security numbers by typed marks",
        _make,
        PersonalDataOptions,
    )
]
