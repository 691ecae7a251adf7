import pytest

from data_prep.cleaning.steps.repetition import STEPS
from pipelines.errors import UserError
from tests.data_prep.cleaning.steps.rows import answered, reason

START = "That is a good way to go on with the story of the fox. "


@pytest.mark.parametrize(
    "answer",
    [
        START + "It was through the process of the way " * 6,
        START + "so " * 60,
        "Newton was an Anglican, and he had little to do with Rome.\n" * 5,
        START + "0" * 200,
        START + "\N{COMBINING SHORT STROKE OVERLAY}" * 120,
        "我不知道这个问题的答案，请你再问一次。" * 8,
    ],
)
def test_a_loop_a_repeated_sentence_and_a_run_of_one_character_are_rejected(answer):
    assert reason(STEPS, "repetition", answered(answer)) == "repetition"
    assert reason(STEPS, "repetition", {"text": answer}) == "repetition"


TABLE = "| Item | Sold |\n|------|------|\n" + "|      |      |\n" * 12
SONG = "\n\n".join(
    f"Verse {n} tells of the {one}\nRow, row, row your boat" for n, one in enumerate(("sea", "sun", "fox"))
)
CODE = "\n".join(f"    assert area({n}) == {n * n}\n    assert area({n}) != {n}" for n in range(20))
DRAWING = "\n".join("#" * 40 + " " * width + "#" * 20 for width in range(9))


@pytest.mark.parametrize(
    "answer",
    [
        TABLE, SONG, CODE, DRAWING, "odd, even, " * 20, "[" + "0, " * 80 + "0]", "-" * 200, "A A G G A A G\n" * 20,
        "<tr>\n" + "  <td>Row 1</td>\n" * 5 + "</tr>\n<tr>\n" + "  <td>Row 2</td>\n" * 5 + "</tr>",
        "very, very, very, very good indeed, as everybody who has been there will tell you if you ask them about it",
        "Yes. " * 10 + "That is what the crowd in the hall shouted again and again, until the speaker left the stage.",
    ],
)  # fmt: skip
def test_tables_songs_code_drawings_and_lists_stay(answer):
    assert reason(STEPS, "repetition", answered(answer)) is None


def test_the_rejected_answer_of_a_pair_may_repeat():
    fields = {"instruction": "Go on.", "chosen": START, "rejected": START + "so " * 60}
    assert reason(STEPS, "repetition", fields) is None


def test_a_lower_share_is_stricter():
    half = START * 2 + "The fox went home, and the hen slept well until the morning came over the hills of the farm."
    assert reason(STEPS, "repetition", answered(half)) is None
    assert reason(STEPS, "repetition", answered(half), max_share=0.2) == "repetition"


@pytest.mark.parametrize("share", [0, 1, "half", True])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UserError, match="between 0 and 1"):
        reason(STEPS, "repetition", answered("x"), max_share=share)
