import pytest

from data_prep.cleaning.duplicates.minhash import ComparisonText, comparison_text, words
from data_prep.cleaning.duplicates.near_duplicates import NearDuplicateOptions
from data_prep.cleaning.duplicates.near_equality import PreparedRow, row_similarity
from data_prep.cleaning.row_texts import RowText, row_texts

OPTIONS = NearDuplicateOptions()
TIDES = (
    "Tides rise and fall because the moon pulls the water of the oceans towards itself, and because the earth turns "
    "under the bulge of water that this pull makes. The sun pulls as well, but less than half as strongly."
)
VOWELS = """def count_vowels(text):
    count = 0
    for letter in text.lower():
        if letter in "aeiou":
            count += 1
    return count"""
BEST = """def find(numbers):
    best = numbers[0]
    for number in numbers:
        best = {1}(best, number)
    return best"""
BITWISE = """def bitwise_{0}(self, other):
    mine, yours = digits_of(self), digits_of(other)
    return [one {1} two for one, two in zip(mine, yours)]"""
BYPASS = """def bypass(host):
    proxies = proxies_of_environment()
    return bypass_environment(host, proxies) if proxies else bypass_{1}(host)"""
TRIP = "Take a train, walk along a lake, visit a farm with its animals, and read a book under a tree."
FRENCH = "Les marées montent et descendent car la lune attire l'eau des océans et la terre tourne sous {} bourrelet."
CHINESE = "月球的引力使海水上涨和下落，地球自转使海水每天两次到达{}高点，太阳的引力也有影响。"


def row(question: str, answer: str, given: str = "") -> ComparisonText:
    return comparison_text(row_texts({"instruction": question, "input": given, "output": answer}))


def similarity(first: ComparisonText, second: ComparisonText) -> float | None:
    threshold = OPTIONS.threshold if first.questions else OPTIONS.document_threshold
    found = row_similarity(PreparedRow(first), PreparedRow(second), threshold)
    assert found == row_similarity(PreparedRow(second), PreparedRow(first), threshold)
    return found


@pytest.mark.parametrize(
    ("question", "answer", "fillings"),
    [
        ("{0} the vowels of a text in Python.", VOWELS, ["Count", "Please count"]),
        ("Why are there tides?", TIDES + "{0}", ["", " Yes."]),
        ("Why {0} there tides?", TIDES, ["are", "ARE, then,"]),
        ("Pourquoi y a-t-il des marées ?", FRENCH, ["le", "ce"]),
        ("潮汐是什么？", CHINESE, ["", "最"]),
        (
            "Sum up this text of 2024. " + TIDES * 4 + " {0}",
            "The moon makes tides.",
            ["It took 1 year.", "It took 2 year."],
        ),
    ],
    ids=[
        "the request's wording",
        "a word more",
        "case and punctuation",
        "French",
        "Chinese",
        "a figure of a long text",
    ],
)
def test_rows_that_differ_in_a_few_words_are_near_duplicates(question, answer, fillings):
    first, second = (row(question.format(one), answer.format(one)) for one in fillings)
    found = similarity(first, second)
    assert found is not None
    assert OPTIONS.threshold <= found < 1
    assert similarity(first, first) == 1


@pytest.mark.parametrize(
    ("question", "answer", "fillings"),
    [
        ("What is the capital of {0}?", "The capital of {0} is {1}. " + TRIP, ["France Paris", "Italy Rome"]),
        ("Add 12 and {0}.", "We add the ones, then the tens. So the sum is {1}. " + TRIP, ["7 19", "8 20"]),
        ("What is 12 {0} 3?", "We write both numbers, and then the result: {1}. " + TRIP, ["+ 15", "* 36"]),
        ("Write a function for the {0} of a list.", BEST, ["minimum min", "maximum max"]),
        ("Write the bitwise {0} of two sets of digits.", BITWISE, ["and &", "or |"]),
        ("Write a function bypass(host) that is true for hosts without proxy.", BYPASS, ["x registry", "x sysconf"]),
        ("Is the one in this sentence a mammal, a fish or a bird? The {0} barks.", "It is a mammal.", ["dog", "cow"]),
        ("Add one {0} to this sentence about a cat: The cat slept on a mat.", "The {1} cat slept on a mat.",
         ["adverb calmly", "adjective black"]),
    ],
    ids=["names", "numbers", "operators", "parts of names", "names of functions", "short code", "short answers",
         "changed answers"],
)  # fmt: skip
def test_rows_of_one_template_are_no_near_duplicates(question, answer, fillings):
    first, second = (row(question.format(*one.split()), answer.format(*one.split())) for one in fillings)
    assert similarity(first, second) is None


def test_the_same_question_with_another_answer_is_no_near_duplicate():
    other = "The moon's gravity attracts the sea, and the rotation of our planet moves every coast through high water."
    assert similarity(row("Why are there tides?", TIDES), row("Why are there tides?", other)) is None


def test_an_answer_to_more_is_no_near_duplicate():
    more = row("What can we do on a trip with a child?", TRIP + " Swim, ride a bicycle, see a museum, or stay at home.")
    assert similarity(row("What can we do on a trip?", TRIP), more) is None


def test_another_question_about_one_text_is_no_near_duplicate():
    rows = [row(f"{TIDES * 4}\n\nDoes this text {asked}?", "Yes.") for asked in ("name the moon", "mention oceans")]
    assert similarity(*rows) is None
    assert similarity(rows[0], row(f"{TIDES * 4} It does.\n\nDoes this text name the moon?", "Yes."))


def test_another_question_in_one_line_with_its_text_is_no_near_duplicate():
    rows = [
        row(f"{TIDES * 2} Question: {asked}?", "The moon.")
        for asked in ("Who pulls the water", "Who pulls less strongly")
    ]
    assert similarity(*rows) is None


def test_a_question_with_not_is_another_question():
    asked = "Write a review that is{} positive about the new restaurant at the harbor of our town."
    assert similarity(row(asked.format(""), TRIP), row(asked.format(" not"), TRIP)) is None
    assert similarity(row(asked.format("n't"), TRIP), row(asked.format(" not"), TRIP))


def test_another_last_example_of_a_prompt_is_no_near_duplicate():
    examples = "\n".join(f"Review: {text} Label: good" for text in TIDES.split(",")) * 5
    prompts = [f"{examples}\nReview: {text} Label:" for text in ("The soup was warm.", "The waiter smiled.")]
    assert similarity(row(prompts[0], "good"), row(prompts[1], "good")) is None


def with_tool(description: str, answer: str) -> ComparisonText:
    call = {"function": {"name": "f", "arguments": {"place": "the harbor of Lagos"}}}
    messages = [{"role": "user", "content": "When is high tide?"}, {"role": "assistant", "tool_calls": [call]}]
    tools = [{"function": {"name": "f", "description": description}}]
    return comparison_text(
        row_texts({"messages": [*messages, {"role": "assistant", "content": answer}], "tools": tools})
    )


def test_arguments_of_calls_are_answers():
    found = with_tool("Look up tides.", "At noon.")
    assert found == ComparisonText(("When is high tide?",), ("the harbor of Lagos", "At noon."), ("Look up tides.",))


def test_conversations_with_other_tools_are_no_near_duplicates():
    first, second, third = (
        with_tool("Look up tides.", TIDES),
        with_tool("Look up winds.", TIDES),
        with_tool("Look up tides.", TIDES + " So."),
    )
    assert similarity(first, second) is None
    assert similarity(first, third) == similarity(*(with_tool("", one.answers[-1]) for one in (first, third)))


@pytest.mark.parametrize(
    ("text", "n_words"),
    [
        ("It's an e-mail.", 4),
        ("naïve “café”", 2),
        ("नमस्ते दुनिया।", 2),
        ("שָׁלוֹם", 1),
        ("潮汐是什么？", 5),
        ("snake_case x2", 2),
    ],
)
def test_words_of_any_script(text, n_words):
    assert len(words(text)) == n_words


def test_one_instruction_with_two_inputs_is_no_near_duplicate():
    instruction, answer = "Decide whether this review of a restaurant is positive or negative.", "The review is clear."
    texts = ("We waited an hour for cold soup.", "The waiter was kind and the fish was fresh.")
    assert similarity(*(row(instruction, answer, text) for text in texts)) is None


def test_an_input_may_be_part_of_the_question():
    request = "Sum up this text in one sentence, please."
    assert similarity(
        row(request, "The moon makes tides.", TIDES), row(f"{request}\n\n{TIDES}", "The moon makes tides.")
    )


def chat(*turns: str) -> ComparisonText:
    roles = ("user", "assistant")
    messages = [{"role": roles[number % 2], "content": turn} for number, turn in enumerate(turns)]
    return comparison_text(row_texts({"messages": messages}))


def test_conversations_that_part_in_their_last_turn_are_no_near_duplicates():
    first = ("Why are there tides?", TIDES, "And on other planets?")
    other = "Any planet with seas and a moon would have them, as far as anyone knows today."
    assert (
        similarity(
            chat(*first, "Seas need liquid water, and the moons of Mars are too small for waves."), chat(*first, other)
        )
        is None
    )
    assert similarity(chat(*first, other), chat(*first, other.replace("today", "now")))
    assert similarity(chat(*first, other), chat(*first, other, "Thank you!", "You are welcome.")) is None


def test_two_files_of_one_kind_are_no_near_duplicates():
    body = "\n".join(
        f"    yield {word.strip('.,')}, size_of({word.strip('.,')})" for word in sorted(set(TIDES.split()))
    )
    files = [
        comparison_text([RowText("text", f"def {name}(items):\n{body}\n\nprint({name}([1]), {name}([2])){ending}")])
        for name, ending in (("largest", ""), ("smallest", ""), ("largest", "  # the end"))
    ]
    assert similarity(files[0], files[1]) is None
    assert similarity(files[0], files[2])


def test_a_short_answer_to_a_long_question_must_be_alike_too():
    question = "Which of the things in this text pulls the water of the oceans more strongly? " + TIDES
    assert (
        similarity(row(question, "It is the moon, not the sun."), row(question, "It is the moon that pulls it more."))
        is None
    )
    assert similarity(row(question, "It is the moon, not the sun."), row(question, "It is the moon and not the sun."))


@pytest.mark.parametrize("texts", [("", ""), (" ", "x"), ("\0", "\0 \0"), ("\ud800", "🙂"), ("𝒳" * 9, "é" * 9)])
def test_any_text_can_be_compared(texts):
    rows = [row(text, text) for text in texts]
    assert similarity(*rows) is None or texts[0] == texts[1]


@pytest.mark.parametrize(
    ("answer", "one", "other"),
    [
        ("{}, it is legal to record a call if one of the people knows about it, in most of the states.", "Yes", "No"),
        ("The statement is {} because the moon pulls at the oceans and the earth turns below them.", "true", "false"),
    ],
)
def test_opposite_verdicts_are_other_answers(answer, one, other):
    question = "Is it so that one may record a call, and that the moon makes the tides? Give a reason."
    first, second = (row(question, answer.format(word)) for word in (one, other))
    assert similarity(first, second) is None
    assert similarity(
        first, row(question, answer.format(one).replace("because", "since").replace("most", "nearly all"))
    )
