import pytest

from data_prep.cleaning.step import Changed
from data_prep.cleaning.steps.refusals import STEPS
from tests.data_prep.cleaning.steps.rows import answered, reason, verdict


@pytest.mark.parametrize(
    "answer",
    [
        "As an AI language model, I cannot recommend a stock.",
        "I'm sorry, but I can’t assist with that request.",
        "Unfortunately, I do not have access to the internet.",
        "Sorry, the task involves visual output. We cannot complete this task.",
        "This type of instruction cannot be fulfilled by a GPT model.",
        "As a large language model, I am not able to browse the web.",
        "Es tut mir leid, aber ich kann diese Frage nicht beantworten.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "很抱歉，我无法回答这个问题。",
    ],
)
def test_an_answer_that_only_refuses_is_rejected(answer):
    assert reason(STEPS, "refusals", answered(answer, "Which stock should I buy?")) == "refusal"


@pytest.mark.parametrize(
    ("instruction", "answer"),
    [
        ("Is it going to rain?", "As an AI language model, I cannot see the sky. However, the season is wet."),
        ("Plan a trip.", "I'm sorry, but I need to know the dates. Could you tell me when you travel?"),
        ("Write a polite refusal of an invitation.", "I'm sorry, but I cannot come to the party."),
        ("Are you conscious?", "As an AI language model, I do not have the ability to feel."),
        ("Make this informal: I regret that I cannot attend.", "Sorry, I can't come."),
        ("Which is longer, 5 pounds or 10?", "Unfortunately, I can't answer that: they are both units of weight."),
        ("Book a flight.", "I'm sorry, but I can't book flights. My capabilities are limited to currency conversion."),
        ("Why is bread brown?", "Sorry to say, it is the Maillard reaction."),
        ("Who wrote it?", "I cannot tell a lie, said Washington; Weems wrote it."),
        ("What do chatbots say?", 'Many say "As an AI language model, I cannot help with that".'),
    ],
)
def test_answers_and_refusals_that_were_asked_for_stay(instruction, answer):
    assert reason(STEPS, "refusals", answered(answer, instruction)) is None


def test_a_pair_keeps_its_refusal_because_the_preference_is_what_it_teaches():
    refusal = "I'm sorry, but I cannot help with that."
    assert reason(STEPS, "refusals", {"instruction": "Hm.", "chosen": refusal, "rejected": "Sure."}) is None


@pytest.mark.parametrize(
    "answer",
    [
        "<nooutput>", "<noinput>", "No Output", "N/A", "[removed]", "<No output. The task requires a poster.>",
        "<nooutput> This type of instruction cannot be fulfilled by a GPT model.", "[Insert output poster here]",
    ],
)  # fmt: skip
def test_an_answer_that_is_a_placeholder_is_rejected(answer):
    assert reason(STEPS, "placeholders", answered(answer, "Design a logo.")) == "placeholder_output"


@pytest.mark.parametrize(
    ("instruction", "answer"),
    [
        ("What does this program print? x = 1", "No output"),
        ("Which taxes apply? Say N/A if there are none.", "N/A"),
        ("How many apples are left?", "None"),
        ("Find the value that is missing.", "NaN"),
        ("Greet a user in a Jinja template.", "Hello {{ name }}!"),
        ("Greet a user.", "<p>Hello {{ name }}!</p>"),
        ("Write a letter.", "Dear [Name],\n\nthank you.\n\n[Your Name]"),
    ],
)
def test_right_answers_that_look_like_placeholders_stay(instruction, answer):
    assert reason(STEPS, "placeholders", answered(answer, instruction)) is None


def test_a_field_of_a_template_that_nobody_filled_is_rejected():
    assert reason(STEPS, "placeholders", answered("I am {{name}}, built by {{author}}.", "Who are you?")) == (
        "unfilled_template"
    )


@pytest.mark.parametrize("given", ["Noinput", "<no input>", "No input.", "N/A", '"<noinput>"', "No input required."])
def test_a_placeholder_of_the_input_is_emptied_and_counted(given):
    found = verdict(STEPS, "placeholders", answered("Red.", given=given))
    assert found == Changed(["Ask.", "", "Red."], {"placeholder_input": 1})


@pytest.mark.parametrize("given", ["No lemon", "None of the students came.", "No pain, no gain", "Input: 5", "n"])
def test_an_input_that_begins_like_a_placeholder_stays(given):
    assert verdict(STEPS, "placeholders", answered("Red.", given=given)) is None


def test_the_mark_before_an_answer_is_removed():
    found = verdict(STEPS, "placeholders", answered('<noinput>\nOutput:\n"A Leap of Faith"'))
    assert isinstance(found, Changed)
    assert found.texts[2] == '"A Leap of Faith"'
