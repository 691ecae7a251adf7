import pytest

from data_prep.cleaning.steps.broken_text import STEPS
from tests.data_prep.cleaning.steps.rows import answered, cleaned, reason, verdict
from tests.preflight.checks.rows.test_text import DAMAGED, HONEST, misread_as


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST)
def test_correct_text_of_any_language_stays(text):
    assert cleaned(STEPS, "mojibake", text) == (text, {})


@pytest.mark.parametrize("text", DAMAGED)
def test_utf8_that_was_read_as_windows_1252_is_repaired(text):
    assert cleaned(STEPS, "mojibake", misread_as(text, "windows-1252")) == (text, {"mojibake": 1})


def test_the_damaged_line_alone_is_repaired():
    text = "« Été » 👍\nFranÃ§oise came.\n“Ô"
    assert cleaned(STEPS, "mojibake", text)[0] == "« Été » 👍\nFrançoise came.\n“Ô"


@pytest.mark.parametrize(
    "fields",
    [
        answered("It is read as Ã© then.", "What is mojibake?"),
        answered('text.replace("Ã©", "é")', "Repair this column."),
    ],
)
def test_text_about_encodings_and_quoted_mojibake_stay(fields):
    assert verdict(STEPS, "mojibake", fields) is None


@pytest.mark.parametrize("text", ["my mother\ufffds house", "锟斤拷", "half \ud83d of a pair", "\ude00"])
def test_an_answer_that_has_lost_characters_is_rejected(text):
    assert reason(STEPS, "replacement_characters", answered(text)) == "replacement_characters"


def test_a_quoted_mark_and_one_in_a_long_document_stay():
    assert reason(STEPS, "replacement_characters", answered('Python writes "\ufffd" for a wrong byte.')) is None
    assert reason(STEPS, "replacement_characters", {"text": "word " * 400 + "\ufffd"}) is None
    assert reason(STEPS, "replacement_characters", {"text": "word\ufffd " * 400}) == "replacement_characters"


def test_a_split_surrogate_pair_becomes_its_character():
    assert cleaned(STEPS, "replacement_characters", "so \ud83d\ude00") == ("so 😀", {"surrogate_pair": 1})


def test_accents_are_composed_only_where_asked():
    assert cleaned(STEPS, "unicode_normalization", "Poke\u0301mon, é, 한") == ("Pokémon, é, 한", {"composed": 1})
    assert cleaned(STEPS, "unicode_normalization", "é ½ ﬁ ²") == ("é ½ ﬁ ²", {})
