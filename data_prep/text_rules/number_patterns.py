"""Find phone, card, bank account and social security numbers in a text, by their form and their check digits.

A function yields the places of one type; with `keep_examples` numbers of fiction and of documentation are left out.
"""

import re
from collections.abc import Iterator

from data_prep.text_rules.personal_patterns import Place

# A country code, an area code in brackets, groups of digits. Each repetition begins with a separator, so that matching
# takes linear time.
_INTERNATIONAL = re.compile(
    r"(?<![\w+*/=^)\]-])(?:\+[1-9]\d{0,14}|\(\+[1-9]\d{0,3}\))"
    r"(?: ?\(\d{1,5}\)[ .-]?\d{1,14})?(?:[ \-/]\d{1,8}|\.\d{2,8}){0,5}(?!\w|\.\d)",
    re.ASCII,
)
_COUNTRY_CODE = re.compile(
    r"1|7|2(?:0|7|[1-689]\d)|3(?:[0-469]|[578]\d)|4(?:[013-9]|2\d)|5(?:[1-8]|[09]\d)|6(?:[0-6]|[7-9]\d)|"
    r"8(?:[1246]|[058]\d)|9(?:[0-58]|[679]\d)"
)
_AFTER_OPERAND = re.compile(r"[\d)\]=*/^]\s*$")
_NORTH_AMERICAN = re.compile(
    r"(?<![\w.+/$=-])(?<!\d )(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[.-])[2-9]\d{2}[.-]\d{4}(?![\w-]|\.\d)", re.ASCII
)
_AFTER_WORD = re.compile(
    r"(?i)(?<![a-z])(?:(?:tele)?phone|tel|mobile|cell|fax|whatsapp|telefon|t[eé]l[eé]phone|t[eé]l|tel[eé]fono|m[oó]vil)"
    r"(?:[^\w\n+]|_|numbers?|no|nr|is|at|on|home|work|office|line){0,8}?(?<![\w.+-])(\(?\d[\d ().\-/]{6,18}\d)(?![\w-])"
)
_TOLL_FREE = ("800", "833", "844", "855", "866", "877", "888", "900")  # of firms, never of a person
_FICTION = re.compile(r"^(?:44(?:0?20?79460|7700900|0?1632960)|33199|4930231|61(?:49157|2555|3555))")
_ASCENDING = "0123456789012345678901234567890"


def find_phone_numbers(text: str, keep_examples: bool = True) -> Iterator[Place]:
    """Yield phone numbers: with a country code, in the North American form, or any form after a word such as "phone".

    Examples are numbers reserved for fiction (555, those of Ofcom) and toll-free numbers.
    """
    for match in _INTERNATIONAL.finditer(text):
        end = (
            match.end()
            if len(_digits(match[0])) <= 15
            else match.start() + match[0].rindex(" ")
            if " " in match[0]
            else 0
        )
        digits = _digits(text[match.start() : end])
        is_spaced = end - match.start() > len(digits) + 1
        is_arithmetic = not is_spaced and _AFTER_OPERAND.search(text, max(0, match.start() - 3), match.start())
        if 9 <= len(digits) <= 15 and not is_arithmetic and _COUNTRY_CODE.match(digits):
            is_north_american = digits[0] == "1"
            if (len(digits) == 11 or not is_north_american) and not (keep_examples and _is_example_phone(digits)):
                yield match.start(), end
    for match in (*_NORTH_AMERICAN.finditer(text), *_AFTER_WORD.finditer(text)):
        digits, group = _digits(match[match.lastindex or 0]), match.lastindex or 0
        is_unknown = len(digits) == 10 and group == 0 and not _is_area(digits[:3])
        if 9 <= len(digits) <= 13 and not is_unknown and not (keep_examples and _is_example_phone(digits)):
            yield match.span(group)


def _digits(text: str) -> str:
    return "".join(filter(str.isdecimal, text))


def _is_area(code: str) -> bool:
    return code[1] != "9" and code[1:] != "11"


def _is_example_phone(digits: str) -> bool:
    if (
        len(set(digits[-7:])) == 1
        or set(digits) <= {"0", "1"}
        or digits in _ASCENDING
        or digits[::-1] in _ASCENDING
        or _FICTION.match(digits)
    ):
        return True
    national = digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
    if len(national) != 10:
        return False
    return (
        national.startswith(_TOLL_FREE) or national[:3] == "555" or national[3:6] == "555" or national == "1234567890"
    )


_CARD = re.compile(
    r"(?<![\w.,+-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5})(?![\w-]|[.,]\d)", re.ASCII
)
# Constants of programs are as long as a card number and one in 40 passes all checks: without spaces it needs a word.
_CARD_WORD = re.compile(r"(?i)card|visa|amex|american express|discover|diners|jcb|credit|debit|payment|\bpay\b")
_ISSUERS = {
    16: re.compile(r"4|5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|6011|64[4-9]|65|35(?:2[89]|[3-8])"),
    15: re.compile(r"3[47]"),
    14: re.compile(r"3(?:0[0-5]|[68])"),
}
# Numbers that payment services give for tests.
_TEST_CARDS = re.compile(
    r"^(?:4(?:242){5}$|4111111111111111|4012888888881881|5555555555554444|5105105105105100|4000056655665556|"
    r"2223003122003222|378282246310005|371449635398431|6011111111111117|6011000990139424|3056930009020004|"
    r"30569309025904|38520000023237|3530111333300000|3566002020360505)"
)


def find_card_numbers(text: str, keep_examples: bool = True) -> Iterator[Place]:
    """Yield card numbers with the prefix and length of an issuer and a right check digit (Luhn); examples are those
    that payment services give for tests."""
    for match in _CARD.finditer(text):
        digits = _digits(match[0])
        issuer = _ISSUERS.get(len(digits)) if len(digits) < match.end() - match.start() or _near(text, match) else None
        if issuer and issuer.match(digits) and _is_luhn(digits) and not (keep_examples and _is_example_card(digits)):
            yield match.span()


def _near(text: str, match: re.Match[str]) -> bool:
    return _CARD_WORD.search(text, max(0, match.start() - 60), match.end() + 30) is not None


def _is_luhn(digits: str) -> bool:
    doubled = [sum(divmod(2 * int(one), 10)) for one in digits[-2::-2]]
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0


def _is_example_card(digits: str) -> bool:
    return len(set(digits)) <= 3 or _TEST_CARDS.match(digits) is not None


_SSN = re.compile(r"(?<![\w.-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-]|\.\d)", re.ASCII)
_EXAMPLE_SSN = re.compile(r"123-45-6789|078-05-1120|219-09-9999|457-55-5462|(\d)\1\1-(\d)\2-(\d)\3{3}")


def find_us_ssns(text: str, keep_examples: bool = True) -> Iterator[Place]:
    """Yield social security numbers of the US; examples are those that were printed in public."""
    for match in _SSN.finditer(text):
        if not (keep_examples and _EXAMPLE_SSN.match(match[0])):
            yield match.span()


# Lengths by country, from the IBAN registry of SWIFT.
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}
_IBAN = re.compile(r"(?<![A-Za-z0-9])(?=([A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}))", re.ASCII)


def find_ibans(text: str, keep_examples: bool = True) -> Iterator[Place]:  # noqa: ARG001 - no number is an example
    """Yield international bank account numbers whose length fits the country and whose check digits are right."""
    for match in _IBAN.finditer(text):
        n_characters = _IBAN_LENGTHS.get(match[1][:2], 0)
        places = [match.start() + place for place, one in enumerate(match[1]) if one != " "]
        if not n_characters or len(places) < n_characters:
            continue
        end = places[n_characters - 1] + 1
        number = text[match.start() : end].replace(" ", "")
        is_whole = not text[end : end + 1].isalnum()
        if is_whole and int("".join(str(int(one, 36)) for one in number[4:] + number[:4])) % 97 == 1:
            yield match.start(), end
