import pytest

from data_prep.conversation import trailing_turn_start

ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nWhy is the sky blue?\n\n### Response:"
)
RUNS_ON = "The sky is blue.\n##\n14. Instruction: Write a poem.\n14. Input:\n<noinput>\n14. Output:\nRoses are red."


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("Why is the sky blue?", RUNS_ON),
        ("Why is the sky blue?", "It scatters.\n\n### Instruction:\nWrite a poem."),
        ("### Instruction:\nWhy?\n\n### Response:\n", "So.\n\n### Instruction:\nWhat?"),
        ("Why is the sky blue?", "It scatters.\n\nInstruction: Name a fruit.\nOutput: Apple"),
        ("Why is the sky blue?", "It scatters.\n\nHuman: And the sea?\n\nAssistant: It reflects."),
        ("Why is the sky blue?", "It scatters.\n\nHuman:"),
        ("Question: Who wrote Emma?\nAnswer:", " Austen\n\nQuestion: Who wrote Hamlet?\nAnswer: Shakespeare"),
        ("Q: 1 + 1?\nA:", " 2\nQ: 2 + 2?\nA: 4"),
        ("Human: hi\n\nAssistant:", " Hello.\n\nHuman:"),
        (ALPACA, "It scatters.\n\nHuman: And the sea?\n\nAssistant: It reflects."),
        (ALPACA, "It scatters.\n\nInstruction: Name a fruit.\nOutput: Apple"),
        (ALPACA.replace("### Response:", "### Response"), "It scatters.\n\nUser:"),
        ("### Frage:\nWarum?\n\n### Antwort:\n", "Darum.\n\n### Frage:\nUnd das Meer?"),
        ("### Question: Why?\n### Answer:", " So.\n### Question: And why not?\n### Answer: Never."),
    ],
)
def test_a_header_of_a_next_task_after_an_answer_is_found(asked, answer):
    begin = trailing_turn_start(asked, answer)
    assert begin is not None
    assert answer[:begin].strip()


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("Write a conversation between a user and an assistant.", "Here it is.\n\nUser: Hi\nAssistant: Hello"),
        ("Design a booking.", "Chatbot: Hello!\n\nUser: A table, please.\n\nBot: Done."),
        ("Write a quiz.", "Here is a quiz:\n\nQuestion: Who?\nAnswer: I."),
        ("Tell me a joke.", "Q: What did the fish say?\nA: Dam!"),
        ("Classify these animals: snake, human", "Snake: Ectothermic\nHuman: Endothermic\nUser: none"),
        ("How do I bake bread?", "Ingredients: flour\nInstructions:\n1. Mix.\n2. Input: heat\nOutput: bread"),
        ("Explain the function.", "It adds.\n\nInput: 1 2\nOutput: 3"),
        ("What is an FAQ?", "A list:\n\nQ: When do you open?\nA: At nine."),
        ("Generate three tasks for a model.", "Tasks.\n1. Instruction: Sort.\n1. Input: 3 1\n1. Output: 1 3"),
        ("How do I fine-tune on Alpaca?", "Write each row so:\n\n### Instruction:\n{instruction}\n\n### Response:\n"),
        ("Input: Anna is here.\nQuestion: Who is here?\nAnswer:", "You ask:\nQuestion: Who is here?\nAnna is."),
        ("Translate.", "ok"),
        ("### Instruction:\nWrite a dialogue.\n\n### Response:", "Here it is.\n\nHuman: Hi\n\nAssistant: Hello."),
        (ALPACA, "It scatters.\n\n### Why blue\nShort waves scatter more.\n\nNote: not at night."),
    ],
)
def test_headers_that_were_asked_for_are_no_next_task(asked, answer):
    assert trailing_turn_start(asked, answer) is None
