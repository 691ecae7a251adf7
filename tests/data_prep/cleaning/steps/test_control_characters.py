import pytest

from data_prep.cleaning.steps.control_characters import STEPS
from tests.data_prep.cleaning.steps.rows import cleaned


@pytest.mark.parametrize(
    ("text", "expected", "count"),
    [
        ("a\x00b\x07", "ab", {"control_character": 2}),
        ("\x1b[31mred\x1b[0m", "red", {"terminal_color": 2}),
        ("It\x92s so", "It’s so", {"control_character": 1}),
        ("of \u200b\u200bthe", "of the", {"zero_width": 2}),
        ("\ufeffBegin", "Begin", {"byte_order_mark": 1}),
        ("any\xadbody", "anybody", {"soft_hyphen": 1}),
        ("one\u2028two\x0bthree", "one\ntwo\nthree", {"line_separator": 2}),
        ("data\u200d—\u200cremains", "data—remains", {"joiner": 2}),
        ("if admin\u202e\u2066 then", "if admin then", {"direction_mark": 2}),
        ("see \ufffc", "see ", {"object_replacement": 1}),
        ("hi\U000e0068\U000e0069", "hi", {"tag_character": 1}),
        (r"\(" + "\x0crac{1}{2} \x08eta" + r"\)", r"\(\frac{1}{2} \beta\)", {"latex_escape": 2}),
    ],
)
def test_what_no_script_needs_is_removed_and_counted(text, expected, count):
    assert cleaned(STEPS, "control_characters", text) == (expected, count)


@pytest.mark.parametrize(
    "text",
    [
        "tab\tline\nreturn\r\npage\x0c\n", "family 👩‍👩‍👧 and 🏃🏽‍♂️ and ❤️‍🔥", "می\u200cخواهم", "क्\u200dष", "ক্\u200cষ",
        "שלום \u200eabc\u200f", "ภาษา\u200bไทย", "ខ្ញុំ\u200bទៅ",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        'text.replace("\u200b", "")', "no\xa0break", "e\u0301", "Ã©",
    ],
)  # fmt: skip
def test_what_a_script_an_emoji_or_code_needs_stays(text):
    assert cleaned(STEPS, "control_characters", text) == (text, {})


def test_an_override_is_removed_even_between_letters_written_from_the_right():
    assert cleaned(STEPS, "control_characters", "שלום\u202e x") == ("שלום x", {"direction_mark": 1})
