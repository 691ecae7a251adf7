import pytest

from data_prep.cleaning.steps.length import STEPS
from pipelines.errors import UserError
from tests.data_prep.cleaning.steps.rows import answered, reason


def test_the_limit_itself_is_allowed_in_both_directions():
    assert reason(STEPS, "max_length", answered("x" * 10), output_chars=10) is None
    assert reason(STEPS, "max_length", answered("x" * 11), output_chars=10) == "output_too_long"
    assert reason(STEPS, "min_length", answered("one two"), output_words=2) is None
    assert reason(STEPS, "min_length", answered("one"), output_words=2) == "output_too_short"


def test_a_limit_is_about_its_own_texts():
    long = "word " * 100
    assert reason(STEPS, "max_length", answered("Yes.", given=long), output_chars=50) is None
    assert reason(STEPS, "max_length", answered("Yes.", given=long), prompt_words=50) == "prompt_too_long"
    assert reason(STEPS, "max_length", {"text": long}, text_words=50) == "text_too_long"
    assert reason(STEPS, "max_length", {"prompt": "Ask.", "chosen": "a", "rejected": long}, output_chars=9) == (
        "rejected_too_long"
    )


def test_every_turn_of_a_conversation_is_measured():
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x" * 99}]
    messages = [*turns, {"role": "user", "content": "And?"}, {"role": "assistant", "content": "y"}]
    assert reason(STEPS, "max_length", {"messages": messages}, output_chars=98) == "output_too_long"


@pytest.mark.parametrize("options", [{}, {"output_chars": 0}, {"output_chars": "many"}, {"text_words": True}])
def test_options_that_limit_nothing_are_refused(options):
    with pytest.raises(UserError, match="max_length"):
        reason(STEPS, "max_length", answered("x"), **options)
