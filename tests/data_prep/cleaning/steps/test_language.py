import pytest

from data_prep.cleaning.steps.language import STEPS, language_of
from pipelines.errors import UserError
from tests.data_prep.cleaning.steps.rows import answered, reason

GERMAN = "Die alte Bibliothek öffnete ihre Türen im Frühling, und viele Reisende fanden dort Schutz vor dem Winter."
ENGLISH = "The old library opened its doors in spring, and many travellers found shelter from the winter there."


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (GERMAN, "de"), (ENGLISH, "en"), ("我的工作是回答用户的问题、提供信息和解决方案，以满足他们的需求。", "zh"),
        ("あなたは私の人生の光です。 This is translated as Anata wa watashi no jinsei no hikari desu.", None),
        ("Paris", None), ("Ja, gern geschehen!", None),
        ("def area(r):\n    return 3.14 * (r ** 2)  # " + GERMAN[:40], None),
        ("Hydrogen, helium, lithium, beryllium, boron, carbon, nitrogen, oxygen, fluorine, neon, sodium", None),
    ],
)  # fmt: skip
def test_a_text_is_identified_only_where_it_is_sure(text, language):
    assert language_of(text) == language


def test_rows_in_other_languages_are_rejected_and_unsure_ones_stay():
    assert reason(STEPS, "language", answered(GERMAN), keep=["en"]) == "language"
    assert reason(STEPS, "language", answered(GERMAN), keep=["en", "de"]) is None
    assert reason(STEPS, "language", answered("Oui."), keep=["en"]) is None
    assert reason(STEPS, "language", {"text": GERMAN}, keep=["en"]) == "language"


def test_the_request_may_be_in_another_language_and_so_may_half_of_an_answer():
    assert reason(STEPS, "language", answered(ENGLISH, instruction=GERMAN), keep=["en"]) is None
    assert reason(STEPS, "language", answered(f"{ENGLISH}\n\n{GERMAN}\n\n{ENGLISH}"), keep=["de"]) is None


@pytest.mark.parametrize(("keep", "message"), [((), "keeps no language"), (("xx",), "'xx'"), (("English",), "ISO 639")])
def test_codes_that_py3langid_has_not_are_refused(keep, message):
    with pytest.raises(UserError, match=message):
        reason(STEPS, "language", answered("x"), keep=keep)
