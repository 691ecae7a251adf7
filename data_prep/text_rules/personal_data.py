"""Find personal data in a text: addresses of people and machines, phone, card, account and social security numbers."""

import re
from collections.abc import Callable, Collection, Iterator

from data_prep.text_rules.number_patterns import find_card_numbers, find_ibans, find_phone_numbers, find_us_ssns
from data_prep.text_rules.personal_patterns import Place, find_emails, find_ip_addresses, find_mac_addresses

# Types have presidio's names. Of two that overlap, the first one in this order wins.
PERSONAL_TYPES: dict[str, Callable[[str, bool], Iterator[Place]]] = {
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


def find_personal_data(
    text: str, types: Collection[str] = tuple(PERSONAL_TYPES), keep_examples: bool = True
) -> Iterator[tuple[str, int, int]]:
    """Yield the type (in capitals), the start and the end of personal data, those of one type after the other."""
    has_digits, has_hexadecimal = _has_digits(text), _has_hexadecimal(text)
    for name, places in PERSONAL_TYPES.items():
        is_address = name == "email_address"
        if name in types and ("@" in text if is_address else has_digits or (has_hexadecimal and name in _HEXADECIMAL)):
            yield from ((name.upper(), *place) for place in places(text, keep_examples))


def may_have_personal_data(text: str) -> bool:
    """A cheap test, which most texts do not pass."""
    return "@" in text or _has_digits(text) or _has_hexadecimal(text)


def _has_digits(text: str) -> bool:
    return _SEVEN in text.encode("utf-8", "replace").translate(_DIGITS) and _NUMBER.search(text) is not None


def _has_hexadecimal(text: str) -> bool:
    has_groups = text.count(":") > 1 or text.count("-") > 4
    return has_groups and _SEVEN in text.encode("utf-8", "replace").translate(_HEX_DIGITS)
