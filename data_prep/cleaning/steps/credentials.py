"""Replace keys of services, private keys and assigned passwords by typed marks such as `<GITHUB_TOKEN>`, or reject the
row."""

from collections.abc import Iterator
from dataclasses import dataclass

from data_prep.cleaning.step import RowStep, StepFunction
from data_prep.cleaning.typed_marks import Action, Found, marking_step
from data_prep.text_rules.credentials import find_credentials, may_have_credentials


@dataclass(frozen=True)
class SecretsOptions:
    """`action`: `replace` or `reject`."""

    action: str = Action.REPLACE.value


def _find(text: str) -> Iterator[Found]:
    return (Found(type_, start, end) for type_, start, end in find_credentials(text))


def _make(options: SecretsOptions) -> StepFunction:
    return marking_step("secrets", options.action, _find, may_have_credentials)


STEPS = [
    RowStep(
        "secrets",
        "replace keys of known services, private keys, and passwords in assignments and addresses by typed marks",
        _make,
        SecretsOptions,
    )
]
