"""Parse JSON values: numbers keep the digits of the file, NaN is a missing value."""

import json
from typing import Any

import orjson

_FLAT = (str, int, bool, type(None))


class _WrittenFloat(float):
    """A float that keeps the digits of the file: a price of 1.10 stays 1.10."""

    def __new__(cls, text: str) -> "_WrittenFloat":
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[type["_WrittenFloat"], tuple[str]]:
        return _WrittenFloat, (self.text,)


def _constant(name: str) -> str | None:
    """Python writes NaN and infinities into JSON: NaN is read as a missing value, an infinity as its name."""
    return None if name == "NaN" else name


JSON_DECODER = json.JSONDecoder(parse_float=_WrittenFloat, parse_constant=_constant)


def parse_line(line: bytes) -> Any:
    """Return the JSON value of a line. Raises `json.JSONDecodeError`, `UnicodeDecodeError` or `RecursionError`.

    orjson is six times as fast as json. It refuses NaN and lone surrogates, and reads 1.10 as 1.1 and an integer above
    64 bits as a float; such a line is read again with json.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return JSON_DECODER.decode(line.decode("utf-8-sig"))  # joined files have marks in the middle
    return JSON_DECODER.decode(line.decode()) if holds_float(value) else value


def holds_float(value: Any) -> bool:
    """Whether a JSON value has a float anywhere."""
    kind = type(value)
    if kind is dict:
        value = value.values()
    elif kind is not list:
        return kind is float
    for one in value:  # noqa: SIM110, a generator costs more than the test
        if type(one) not in _FLAT and holds_float(one):
            return True
    return False


def is_object(line: bytes) -> bool:
    """Whether a line is a JSON object."""
    try:
        return isinstance(parse_line(line), dict)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return False
