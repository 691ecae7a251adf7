"""Messages that come to one text, and those that would lose what was said before."""

import pytest

from data_prep.sources.messages import text_of_messages

USER, ANSWER = {"role": "user", "content": "q"}, {"from": "gpt", "value": "a"}


@pytest.mark.parametrize(
    ("value", "speaker", "text"),
    [
        (ANSWER, "assistant", "a"),
        ([USER, ANSWER], "assistant", "a"),
        (["a"], "assistant", "a"),
        ({"value": "a"}, "assistant", "a"),
        ([USER], "user", "q"),
        ([USER, ANSWER, USER], "user", None),
        ([{"role": "system", "content": "s"}, USER], "user", None),
        ([USER, ANSWER, USER, ANSWER], "assistant", None),
        (USER, "assistant", None),
        ({"role": "assistant", "content": ["part"]}, "assistant", None),
        ([], "user", None),
    ],
)
def test_the_text_of_messages(value: object, speaker: str, text: str | None) -> None:
    assert text_of_messages(value, speaker) == text  # type: ignore[arg-type]
