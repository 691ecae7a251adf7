"""Personal data is replaced by typed marks; what only looks like it stays."""

import pytest

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import Changed, Rejected
from data_prep.cleaning.steps.personal_data import STEPS, PersonalDataOptions
from pipelines.errors import UserError


def verdict(*texts, **options):
    return STEPS[0].make(PersonalDataOptions(**options))([RowText("user", text) for text in texts])


def replaced(text, **options):
    found = verdict(text, **options)
    return found.texts[0] if found else text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<ann.lee+news@firm.co.uk>, please", "<<EMAIL_ADDRESS>>, please"),
        ("mailto:jane_doe@uni-bonn.de?subject=x", "mailto:<EMAIL_ADDRESS>?subject=x"),
        ("Björn.Bø@firma.no, 邮箱是wang@qq.com。", "<EMAIL_ADDRESS>, 邮箱是<EMAIL_ADDRESS_2>。"),
        ("call +49 151 23456789 today", "call <PHONE_NUMBER> today"),
        ("(+1 (212) 456-7890)", "(<PHONE_NUMBER>)"),
        ("(+48) 123 456 789", "<PHONE_NUMBER>"),
        ("+49 151 23456789 +33 6 12 34 56 78", "<PHONE_NUMBER> <PHONE_NUMBER_2>"),
        ("ann@firm.org: yes, and scp ann@firm.org:/tmp/x .", "<EMAIL_ADDRESS>: yes, and scp ann@firm.org:/tmp/x ."),
        ("212-456-7890, 312.456.7891.", "<PHONE_NUMBER>, <PHONE_NUMBER_2>."),
        ("Tel: 030 / 23125 904", "Tel: <PHONE_NUMBER>"),
        ("Téléphone : 01 42 68 53 00", "Téléphone : <PHONE_NUMBER>"),
        (
            '"phone_number": "2124567890", fax number is (0)30 1234 7890',
            '"phone_number": "<PHONE_NUMBER>", fax number is <PHONE_NUMBER_2>',
        ),
        ("ssh root@84.17.45.20", "ssh root@<IP_ADDRESS>"),
        ("see 84.17.45.20:8080", "see <IP_ADDRESS>:8080"),
        ("http://93.184.216.34/index", "http://<IP_ADDRESS>/index"),
        ("from 2607:f8b0:4005:805::200e.", "from <IP_ADDRESS>."),
        ("00:1B:44:11:3A:B7", "<MAC_ADDRESS>"),
        ("SSN 536-90-4399", "SSN <US_SSN>"),
        ("GB82 WEST 1234 5698 7654 32 and DE89370400440532013000.", "<IBAN_CODE> and <IBAN_CODE_2>."),
        ("FR14 2004 1010 0505 0001 3M02 606 BIC PSSTFRPP", "<IBAN_CODE> BIC PSSTFRPP"),
        ("4539 1488 0343 6467", "<CREDIT_CARD>"),
        ("Visa 4556737586899855 or 3787-344936-71000", "Visa <CREDIT_CARD> or <CREDIT_CARD_2>"),
    ],
)
def test_each_type_becomes_its_mark(text, expected):
    assert replaced(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '@decorator and @app.route("/x"), A@B.T, x@W.transpose(), w@y.to(device), icon@2x.png',
        "user@host:~$ ls; git clone git@github.com:a/b.git",
        "version 1.2.3.4, v10.200.3.4, ==2.150.1.3, Chrome/91.0.101.124, section 2.3.1.104",
        "ISBN 978-3-16-148410-0 or 9783161484100",
        "order 4111222233334444, 1234567890123456, DE89370400440532013001",
        "x = 1234567 + 7654321 - 1111111, a +1234567890, 12 +1234567890, 1e+1234567890",
        "2021-03-04 12:30:45.123, 12:30:45:00, 1609459200000000",
        "3.14159265358979323846264338327950288 and 0.4539148803436467",
        "a fax machine 100 200 300 400, mobile games sold 1234567890 times",
        "00 01 02 03 04 05 06 07 08 09 10 11 12, 0 1 1 2 3 5 8 13 21 34 55 89 144 233",
        "rng = default_rng(348932549825235), 4556737586899855, format(1234, '+10011010010'), '+35236450.6'",
        "Message-ID: <20050713212311.GC4701@andy.firm.com> <a4929a40-6328-491a-aaaf-cb79ed7309a2@q2.groups.com>",
        "a[::2], std::vector, 12::30, f(2123456789)",
    ],
)
def test_code_versions_dates_numbers_and_maths_stay(text):
    assert replaced(text) == text


EXAMPLES = [
    ("ann@example.com, bo@mail.example.org", "<EMAIL_ADDRESS>, <EMAIL_ADDRESS_2>"),
    ("your.email@gmail.com, a@b.com", "<EMAIL_ADDRESS>, <EMAIL_ADDRESS_2>"),
    ("user@example.co.uk", "<EMAIL_ADDRESS>"),
    ("192.168.1.1, 203.0.113.9", "<IP_ADDRESS>, <IP_ADDRESS_2>"),
    ("at host 8.8.8.8", "at host <IP_ADDRESS>"),
    ("00:00:5e:00:53:af, 52:54:00:9d:0e:67", "<MAC_ADDRESS>, <MAC_ADDRESS_2>"),
    ("123-45-6789, 111-22-3333", "<US_SSN>, <US_SSN_2>"),
    ("4242 4242 4242 4242", "<CREDIT_CARD>"),
    ("212-555-0143, (555) 234-2345", "<PHONE_NUMBER>, <PHONE_NUMBER_2>"),
    ("+1-800-273-8255", "<PHONE_NUMBER>"),
    ("+44 20 7946 0958", "<PHONE_NUMBER>"),
]


@pytest.mark.parametrize(("text", "expected"), EXAMPLES)
def test_examples_of_documentation_and_fiction_stay_unless_asked(text, expected):
    assert replaced(text) == text
    assert replaced(text, keep_examples=False) == expected


def test_the_same_address_has_the_same_mark_in_the_whole_row_however_it_is_written():
    found = verdict("I am ann@firm.org, not bob@firm.org", "Hello Ann@firm.org! +1 212 456 7890 is +12124567890")
    assert list(found.texts) == [
        "I am <EMAIL_ADDRESS>, not <EMAIL_ADDRESS_2>",
        "Hello <EMAIL_ADDRESS>! <PHONE_NUMBER> is <PHONE_NUMBER>",
    ]
    assert found.counts == {"email_address": 3, "phone_number": 2}
    assert isinstance(found, Changed)
    assert found.is_secret


def test_reject_names_the_types_and_never_the_texts():
    found = verdict("no", "ann@firm.org", action="reject")
    assert found == Rejected("personal_data", {"email_address": 1}, is_secret=True)


def test_only_the_types_asked_for_are_replaced():
    assert replaced("ann@firm.org, 212-456-7890", types=("phone_number",)) == "ann@firm.org, <PHONE_NUMBER>"


def test_marks_are_left_alone():
    once = replaced("ann@firm.org, bob@firm.org")
    assert replaced(once) == once


def test_clean_rows_are_left_alone():
    assert verdict("What is 2 + 2?", "", "4", "\ud800 half a pair") is None


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"types": ("email",)}, "personal_data: unknown type 'email'"),
        ({"action": "drop"}, "personal_data: action is 'drop', expected replace or reject"),
    ],
)
def test_wrong_options_are_refused(options, problem):
    with pytest.raises(UserError) as caught:
        verdict("x", **options)
    assert caught.value.problem == problem


def test_long_runs_of_one_kind_of_character_take_linear_time():
    for text in ("1" * 200_000, "a." * 100_000 + "@", "+1 " * 70_000, "1 " * 100_000, "aa:" * 70_000, "x@" * 100_000):
        assert verdict(text, types=("email_address", "ip_address", "mac_address", "phone_number", "us_ssn")) is None
        verdict(text)
