"""Replace personal data by typed marks such as `<EMAIL_ADDRESS>`, or reject the row."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from data_prep.cleaning.number_patterns import find_card_numbers, find_ibans, find_phone_numbers, find_us_ssns
from data_prep.cleaning.personal_patterns import Place, find_emails, find_ip_addresses, find_mac_addresses
from data_prep.cleaning.step import RowStep, StepFunction
from data_prep.cleaning.typed_marks import Action, Found, marking_step
from pipelines.errors import UserError

# Types have presidio's names. Of two that overlap, the first one in this order wins.
_FINDERS: dict[str, Callable[[str, bool], Iterator[Place]]] = {
    "email_address": find_emails,
    "iban_code": find_ibans,
    "credit_card": find_card_numbers,
    "us_ssn": find_us_ssns,
    "ip_address": find_ip_addresses,
    "mac_address": find_mac_addresses,
    "phone_number": find_phone_numbers,
}
_HEXADECIMAL = ("ip_address", "mac_address")

# A number has seven digits and separators in a row, an address of a machine seven hexadecimal ones. Translating bytes
# and searching takes less than a microsecond.
_DIGITS = bytes(ord("0") if chr(code) in "0123456789 .()-/" else ord("x") for code in range(256))
_HEX_DIGITS = bytes(ord("0") if chr(code) in "0123456789abcdefABCDEF:-" else ord("x") for code in range(256))
_SEVEN = b"0" * 7
_NUMBER = re.compile(r"\d[\d .()/-]{5,}\d", re.ASCII)  # slower, for those with a year between two full stops


@dataclass(frozen=True)
class PersonalDataOptions:
    """`action`: `replace` or `reject`. `types`: what to look for. `keep_examples`: leave what belongs to nobody:
    addresses of example.com, private and documentation IPs, phone numbers of fiction, card numbers for tests."""

    action: str = Action.REPLACE.value
    types: tuple[str, ...] = tuple(_FINDERS)
    keep_examples: bool = True


def _make(options: PersonalDataOptions) -> StepFunction:
    if unknown := [name for name in options.types if name not in _FINDERS]:
        problem = f"personal_data: unknown type {', '.join(map(repr, unknown))}"
        raise UserError(problem, f"choose from {', '.join(_FINDERS)}")
    finders = {name: _FINDERS[name] for name in _FINDERS if name in options.types}

    def find(text: str) -> Iterator[Found]:
        has_digits, has_hexadecimal = _has_digits(text), _has_hexadecimal(text)
        for name, places in finders.items():
            is_address = name == "email_address"
            if "@" in text if is_address else has_digits or (has_hexadecimal and name in _HEXADECIMAL):
                yield from (Found(name.upper(), *place) for place in places(text, options.keep_examples))

    return marking_step("personal_data", options.action, find, _may_contain)


def _has_digits(text: str) -> bool:
    return _SEVEN in text.encode("utf-8", "replace").translate(_DIGITS) and _NUMBER.search(text) is not None


def _has_hexadecimal(text: str) -> bool:
    has_groups = text.count(":") > 1 or text.count("-") > 4
    return has_groups and _SEVEN in text.encode("utf-8", "replace").translate(_HEX_DIGITS)


def _may_contain(text: str) -> bool:
    return "@" in text or _has_digits(text) or _has_hexadecimal(text)


STEPS = [
    RowStep(
        "personal_data",
        "replace e-mail, IP and MAC addresses, phone, card, bank account and social security numbers by typed marks",
        _make,
        PersonalDataOptions,
    )
]
