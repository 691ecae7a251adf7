"""Clean instruction rows and one fault of each kind planted in them, to measure what a cleaning step misses."""

import random
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from data_prep.cleaning.row_texts import row_texts
from data_prep.cleaning.step import StepFunction

Row = dict[str, str]
Plant = Callable[[str, random.Random], str]

_SUBJECTS = (
    "the old library", "a small café", "the river delta", "our neighbour’s garden", "the night train",
    "a village baker", "the museum of clocks", "the naïve young chemist", "a team of engineers",
    "the harbour of Málaga", "an élite orchestra",
)  # fmt: skip
_VERBS = (
    "opened its doors to", "changed the lives of", "surprised", "became known to", "offered shelter to", "taught",
    "was built by", "slowly won the trust of", "kept a record of",
)  # fmt: skip
_OBJECTS = (
    "hundreds of visitors", "a generation of students", "the people of the town", "many travellers", "every shopkeeper",
    "two rival families", "the fishermen and their sons", "a quiet inspector", "strangers from the north",
)  # fmt: skip
_ENDINGS = (
    "long before the war.", "in the spring of 1921.", "without asking for money.", "although few had expected it.",
    "because the winter was hard.", "and nobody forgot it.", "while the bridge was repaired.",
    "after a vote of the council.",
)  # fmt: skip


def clean_rows(n: int, seed: int = 0) -> list[Row]:
    """Return `n` rows of prose that no step may touch."""
    random_source = random.Random(seed)
    return [{"instruction": "Tell me about the town.", "input": "", "output": _prose(random_source)} for _ in range(n)]


def _prose(random_source: random.Random) -> str:
    parts = (_SUBJECTS, _VERBS, _OBJECTS, _ENDINGS)
    sentences = (" ".join(map(random_source.choice, parts)) for _ in range(random_source.randint(3, 7)))
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in dict.fromkeys(sentences))


def recall(step: StepFunction, rows: Iterable[Row], plant: Plant, seed: int = 0) -> float:
    """Return the share of `rows` that the step rejects or changes after the fault is planted in their answers."""
    random_source, n_rows, n_found = random.Random(seed), 0, 0
    for row in rows:
        planted = plant(row["output"], random_source)
        if planted != row["output"]:
            n_rows += 1
            n_found += step(row_texts({**row, "output": planted})) is not None
    return n_found / n_rows if n_rows else 1.0


def false_positives(step: StepFunction, rows: Iterable[Row]) -> list[Row]:
    """Return the clean rows that the step rejects or changes."""
    return [row for row in rows if step(row_texts(row)) is not None]


def _one_of(choices: Sequence[str]) -> Plant:
    return lambda _, random_source: random_source.choice(choices)


def _runs_on(text: str, random_source: random.Random) -> str:
    number = random_source.randint(4, 30)
    headers = (
        f"\n##\n{number}. Instruction: Name a fruit.\n{number}. Input:\n<noinput>\n{number}. Output:\nApple",
        "\n\n### Instruction:\nName a fruit.\n\n### Response:\nApple", "\n\nHuman: And a fruit?\n\nAssistant: Apple",
        "<|im_end|>\n<|im_start|>user\nName a fruit.", "\n\nInstruction: Name a fruit.\nOutput: Apple", "\nUser:",
    )  # fmt: skip
    return text + random_source.choice(headers)


def _cut_after_a_function_word(text: str, random_source: random.Random) -> str:
    places = [found.end() for found in re.finditer(r"\b(?:the|a|and|because|although|their)\b(?= )", text)]
    places = [place for place in places if place > 60]
    return text[: random_source.choice(places)] if places else text


def cut_anywhere(text: str, random_source: random.Random) -> str:
    """Cut an answer in its second half, as a limit on tokens does."""
    return text[: random_source.randint(len(text) // 2, max(len(text) // 2, len(text) - 5))]


def _refusal(_: str, random_source: random.Random) -> str:
    begin = ("I'm sorry, but ", "Sorry, ", "I apologize, but ", "Unfortunately, ", "As an AI language model, ",
             "I’m sorry, but as an AI assistant, ", "As a large language model, ")  # fmt: skip
    cannot = ("I cannot ", "I can't ", "I am unable to ", "I'm not able to ", "I am not capable of ")
    what = ("assist with that request.", "provide medical advice.", "tell the future of the stock market.",
            "generate images or sounds.", "write about this topic. It may be harmful to others.")  # fmt: skip
    return "".join(map(random_source.choice, (begin, cannot, what)))


def _loop(text: str, random_source: random.Random) -> str:
    words = text.split()
    piece = words[-random_source.randint(1, 9) :] if random_source.random() < 0.7 else words
    return " ".join(words + piece * max(6, 60 // len(piece)))


def _misread(text: str, random_source: random.Random) -> str:
    return text.encode().decode(random_source.choice(("windows-1252", "latin-1")), errors="ignore")


def _lost_characters(text: str, random_source: random.Random) -> str:
    accents = [place for place, letter in enumerate(text) if ord(letter) > 127]
    place = random_source.choice(accents or [len(text) // 2])
    return f"{text[:place]}\N{REPLACEMENT CHARACTER}{text[place + 1 :]}"


def _inserted(choices: Sequence[str], before: str = " ") -> Plant:
    def plant(text: str, random_source: random.Random) -> str:
        places = [found.start() for found in re.finditer(re.escape(before), text)]
        place = random_source.choice(places or [len(text)])
        return text[:place] + random_source.choice(choices) + text[place:]

    return plant


_FOREIGN = (
    "Die alte Bibliothek öffnete ihre Türen im Frühling, und viele Reisende fanden dort Schutz vor dem harten Winter.",
    "La vieille bibliothèque a ouvert ses portes au printemps et de nombreux voyageurs y trouvaient un abri.",
    "La antigua biblioteca abrió sus puertas en primavera y muchos viajeros encontraron allí un refugio.",
    "Старая библиотека открылась весной, и многие путешественники нашли там убежище от суровой зимы и сильного ветра.",
    "古い図書館は春に開館し、多くの旅行者が厳しい冬をしのぐ場所としてそこに集まりました。町の人々も喜びました。",
    "老图书馆在春天开放了，许多旅行者在那里躲避严冬，镇上的人们也常常来看书，孩子们学会了很多东西。",
)  # fmt: skip

# The fault's name, the step that finds it, the step's options and what plants it.
FAULTS: list[tuple[str, str, dict[str, Any], Plant]] = [
    ("no answer", "empty", {}, _one_of(("", " \n", "\t"))),
    ("another task", "runs_on", {}, _runs_on),
    ("cut after a function word", "cut_off", {}, _cut_after_a_function_word),
    ("a refusal", "refusals", {}, _refusal),
    ("a placeholder", "placeholders", {}, _one_of(("<nooutput>", "N/A", "[removed]", "No output.", "I am {{name}}."))),
    ("a loop", "repetition", {}, _loop),
    ("mojibake", "mojibake", {}, _misread),
    ("a lost character", "replacement_characters", {}, _lost_characters),
    (
        "a control character",
        "control_characters",
        {},
        _inserted(("\x00", "\x07", "\u200b", "\ufeff", "\u202e", "\x92")),
    ),
    ("an entity", "html_entities", {}, _inserted(("&amp;", "&nbsp;", "&#39;", "&quot;", "&hellip;"))),
    ("markup", "markup", {}, _inserted(("[citation needed]", "<br>", "[b]so[/b]", "<ref>Smith</ref>"))),
    ("another language", "language", {"keep": ["en"]}, _one_of(_FOREIGN)),
    ("a long answer", "max_length", {"output_chars": 2_000}, lambda text, _: text * 20),
]
