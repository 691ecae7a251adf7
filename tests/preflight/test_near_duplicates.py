"""Near duplicates: what is the same task but for edits is paired, what a template made is not."""

import random
from collections.abc import Callable

import pytest

from pipelines.preflight.near_duplicates import Row, Similarity, near_duplicates, similarity, words_of
from tests.preflight.contexts import rows_of

ANSWER = (
    "First heat the oven and butter the tin. Then mix flour, sugar and eggs until the dough is smooth, pour it into "
    "the tin and bake it for forty minutes. Let it cool before you cut it."
)
COLOURS = ["red", "green", "white", "yellow", "grey", "brown", "blue", "black"]
TRADES = ["baker", "smith", "tailor", "miller", "farmer", "mason", "cooper", "joiner"]
PASSAGE = " ".join(
    f"The {color} house in the {COLOURS[i - 3]} street was built by the family of a {TRADES[i]}."
    for i, color in enumerate(COLOURS)
)


def filler(n: int = 300) -> list[Row]:
    return [Row(one["instruction"], one["output"]) for one in rows_of(n)]


def likeness_among_others(one: Row, other: Row) -> Similarity | None:
    """How `other`, held out, is paired with `one` among training rows of another kind."""
    pairs = near_duplicates([*filler(), one], [Row("What is a lemon?", "A sour yellow fruit of the south."), other])
    assert all((pair.held_out, pair.train) == (1, 300) for pair in pairs), pairs
    return pairs[0].similarity if pairs else None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Row("How do I bake a cake?", ANSWER), Row("how do i bake a cake", ANSWER)),
        (Row("How do I bake a cake?", ANSWER), Row("  How do I bake\na cake ?", ANSWER.upper())),
        (Row("Define: rain", "It is water that falls."), Row("Define “rain”.", "It is water that falls")),
        (Row("Don't you think?", "No."), Row("Don’t you think?", "No")),
        (Row("ｗｈａｔ is this", "a test"), Row("What is this?", "A test.")),
        (Row("请介绍一下北京。", "北京是中国的首都。"), Row("请介绍一下北京", "北京是中国的首都")),
        (Row("", PASSAGE), Row("", PASSAGE.replace(".", ""))),
    ],
)
def test_rows_that_differ_in_case_white_space_and_punctuation_are_equal(one, other):
    assert likeness_among_others(one, other) is Similarity.EQUAL


def test_an_equal_request_with_another_answer_is_told_apart():
    cows, owls = (Row("Tell me a joke.", f"Two {animal} met a baker and laughed.") for animal in ("cows", "owls"))
    assert likeness_among_others(cows, owls) is Similarity.REQUEST


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Row("How do I bake a cake?", ANSWER), Row("How do I bkae a cake?", ANSWER)),
        (
            Row("Name three primary colors", "Red, green and blue."),
            Row("Name three primry colors", "Red, green and blue."),
        ),
        (Row("How do I bake a cake?", ANSWER), Row("How do I bake a good cake at home?", ANSWER)),
        (Row("How do I bake a cake?", ANSWER), Row("How do I bake a cake?", ANSWER.replace("forty", "fifty"))),
        (Row(f"Summarise: {PASSAGE}", ANSWER), Row(f"Summarise: {PASSAGE.replace('green', 'orange')}", ANSWER)),
        (Row("", PASSAGE), Row("", PASSAGE.replace("green", "orange"))),
        (Row("", f"{PASSAGE} {ANSWER}"), Row("", f"{PASSAGE} {ANSWER} And so on.")),
    ],
)
def test_a_typo_or_a_changed_word_in_a_long_text_is_an_edit(one, other):
    assert likeness_among_others(one, other) is Similarity.EDITED


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Row("Write add_3(x).", "def add_3(x): return x + 3"), Row("Write add_4(x).", "def add_4(x): return x + 4")),
        (Row("What is 5 + 3?", "8"), Row("What is 5 - 3?", "2")),
        (Row("What is 3.5 times two?", "7"), Row("What is 35 times two?", "70")),
        (Row("What does 😀 mean?", "Joy."), Row("What does 😡 mean?", "Anger.")),
        (Row("Is a > b or c?", "Yes, it is."), Row("Is a < b or c?", "Yes, it is.")),
        (Row("What is the capital of France?", "Paris."), Row("What is the capital of Spain?", "Madrid.")),
        (
            Row("Define affect in few words.", "To act on it."),
            Row("Define effect in few words.", "What a cause brings."),
        ),
        (Row(f"{PASSAGE} Is the red house old?", "Yes"), Row(f"{PASSAGE} Is the grey house new?", "Yes")),
        (Row(f"{PASSAGE} Write it for version 3.", ANSWER), Row(f"{PASSAGE} Write it for version 4.", f"{ANSWER} 4")),
        (Row("Say hello.", "Hello!"), Row("Say good night.", "Hello!")),
        (Row("", PASSAGE), Row("", ANSWER)),
        (Row("", ""), Row("", "")),
        (Row("?!", "..."), Row("...", "?")),
    ],
)
def test_other_tasks_are_not_near(one, other):
    assert likeness_among_others(one, other) is None
    assert similarity(one, other) is None


LETTER = (
    "You are given the record of a customer. Write a short and polite letter, in which you confirm that the order has "
    "been received, that it will be delivered within five working days, and that the customer can reply with any "
    "questions about delivery, payment or returns. Sign as the customer service of the shop. Keep to a friendly tone, "
    "use no lists and no more than four sentences in all. Record: {} from {} ordered {}."
)
THANKS = (
    "Dear {}, thank you very much for your order. Your {} will be delivered to your address in {} within five working "
    "days. Please reply to this letter with any questions about delivery, payment or returns. Your customer service"
)
NAMES = ["Anna", "Bruno", "Carla", "David", "Elena", "Frank", "Greta", "Hugo", "Irene", "Jonas"]
PLACES = ["Paris", "Rome", "Berlin", "Madrid", "Vienna", "Prague", "Oslo", "Dublin", "Lisbon", "Athens"]
THINGS = ["lamp", "chair", "table", "clock", "mirror", "carpet", "kettle", "basket", "bottle", "candle"]


def letter(i: int) -> Row:
    name, place, thing = NAMES[i % 10], PLACES[i // 10 % 10], THINGS[i // 100 % 10]
    return Row(LETTER.format(name, place, thing), THANKS.format(name, thing, place))


PROMPT = "Below is an instruction that describes a task. Write a response that completes the request.\n\n"


def ideographs(i: int) -> str:
    return chr(0x4E00 + 3 * i) + chr(0x4E01 + 5 * i)


TEMPLATES: dict[str, Callable[[int], Row]] = {
    "functions": lambda i: Row(
        f"Write a Python function add_{i}(x) that returns x plus {i}.", f"def add_{i}(x): return x + {i}"
    ),
    "sums": lambda i: Row(f"What is {i % 20} + {i // 20}?", f"{i % 20} + {i // 20} is {i % 20 + i // 20}"),
    "letters": letter,
    "refusals": lambda i: Row(
        f"How do I build a {THINGS[i % 10]} {i} in {PLACES[i // 10 % 10]}?", f"I cannot help with that. {ANSWER}"
    ),
    "prompts": lambda i: Row(
        f"{PROMPT}Define the {THINGS[i % 10]} of {PLACES[i // 10 % 10]} number {i}.", f"It is {i}."
    ),
    "chinese": lambda i: Row(f"请用“{ideographs(i)}”造一个句子。", f"我每天都看到{ideographs(i)}在花园里。"),
    "sentences": lambda i: filler(i + 1)[i],
}


@pytest.mark.parametrize("kind", TEMPLATES)
@pytest.mark.parametrize("n_rows", [100, 400])
def test_rows_of_one_template_are_not_near(kind, n_rows):
    rows = [TEMPLATES[kind](i) for i in range(n_rows)]
    random.Random(0).shuffle(rows)
    cut = n_rows // 10
    assert near_duplicates(rows[cut:], rows[:cut]) == []


def test_a_templates_row_that_differs_in_case_alone_is_found_all_the_same():
    rows = [letter(i) for i in range(200)]
    again = Row(rows[70].request.lower(), rows[70].answer)
    [pair] = near_duplicates(rows, [again])
    assert (pair.train, pair.similarity) == (70, Similarity.EQUAL)


def test_copies_of_a_training_row_do_not_hide_it():
    rows = [*filler(), *[Row("How do I bake a cake?", ANSWER)] * 50]
    [pair] = near_duplicates(rows, [Row("How do I bkae a cake?", ANSWER)])
    assert (pair.train, pair.similarity) == (300, Similarity.EDITED)


def test_words_are_whole_numbers_single_ideographs_and_telling_marks():
    assert words_of("It's 3.5 - 2, e-mail C# x*y.") == ["its", "3.5", "-", "2", "e", "mail", "c", "#", "x", "*", "y"]
    assert words_of("Python语言，好！") == ["python", "语", "言", "好"]
    assert words_of("Straße и Ёлка") == ["strasse", "и", "ёлка"]


def test_the_ends_of_long_documents_are_enough_to_find_them():
    rng = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=5)) for _ in range(5_000)]
    text = " ".join(rng.choices(words, k=20_000))
    documents = [Row("", text[start : start + 50_000]) for start in rng.sample(range(len(text) - 50_000), 20)]
    others = [Row("", " ".join(rng.choices(words, k=300)) + text[:50_000]) for _ in range(500)]
    edited = [Row("", one.answer[:25_000] + " in other words " + one.answer[25_000:]) for one in documents]
    pairs = near_duplicates([*others, *documents], edited)
    assert [pair.train for pair in pairs] == list(range(500, 520))


def test_a_typo_in_real_rows_is_found_and_no_pair_is_wrong(shared_data):
    import json

    lines = (shared_data / "splits" / "dolly_dev.jsonl").read_text().split("\n")[:2_000]
    rows = [Row(f"{one['instruction']}\n{one['input']}".strip(), one["output"]) for one in map(json.loads, lines)]
    picked = [place for place, row in enumerate(rows) if len(words_of(row.request + row.answer)) >= 10][:200]
    held_out = [Row(_with_typo(rows[place].request), rows[place].answer) for place in picked]
    pairs = near_duplicates(rows, held_out)
    assert len(pairs) >= 0.9 * len(held_out)
    assert all(rows[pair.train].answer == held_out[pair.held_out].answer for pair in pairs)


def _with_typo(text: str) -> str:
    """`text` with the middle letter of its longest word left out."""
    word = max(text.split(), key=len)
    return text.replace(word, word[: len(word) // 2] + word[len(word) // 2 + 1 :], 1)
