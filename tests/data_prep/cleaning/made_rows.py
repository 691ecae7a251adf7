"""Clean rows, evaluation rows and personal data, made from a seed."""

import gzip
import ipaddress
import json
import random
import string
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.data_prep.cleaning.made_keys import text_of


def _words(text: str) -> list[str]:
    return text.split()


NAMES = _words(
    "Ana Bo Cleo Dov Edda Femi Gus Hana Ivo Jun Kofi Lena Mona Nils Oona Pia Quin Rosa Sven Tara Ugo Vera Wes"
)
VERBS = _words(
    "bakes borrows builds carries counts delivers gathers mends packs paints plants repairs sells sorts trades"
)
THINGS = _words(
    "apples baskets bells blankets boats bottles bricks buttons candles carpets chairs clocks coins cups feathers "
    "fences gloves hats jars kites ladders lamps letters maps mirrors needles oars paddles pears pencils ribbons"
)
PLACES = _words("attic bakery barn castle cellar chapel dock farm ferry garden harbor library market mill orchard park")
TOPICS = _words("compost erosion fractions gravity harmony irrigation jazz knitting lava meteors nutrition osmosis")
CODE_WORDS = _words("depth height index length offset price ratio score size speed total weight width")

Make = Callable[[random.Random], str]


def sentence(generator: random.Random) -> str:
    one, other = generator.sample(NAMES, 2)
    thing, more = generator.sample(THINGS, 2)
    verb, place, topic = (generator.choice(words) for words in (VERBS, PLACES, TOPICS))
    n = generator.randrange(10, 99)
    return generator.choice((
        f"{one} {verb} {n} {thing} at the {place}.",
        f"In {1900 + n}, {thing} were rare in every {place} near {other}'s home.",
        f"The price of {thing} rose from {n % 9}.{n} to 1,{n}0.",
        f"Version {n % 9}.{n}.{n % 7}.1 explains {thing}.",
        f"{one} asked {other} about {topic}, and both {verb[:-1]} {more} instead.",
        f"`x[{n % 9}:{n}] = f({generator.choice(CODE_WORDS)}, {generator.randrange(10**6)})` uses `{more}_{thing}`.",
    ))  # fmt: skip


def generated_rows(generator: random.Random) -> Iterator[dict[str, str]]:
    while True:
        texts = [" ".join(sentence(generator) for _ in range(n)) for n in (2, 7)]
        yield {"instruction": texts[0], "input": "", "output": texts[1]}


def recombined_rows(folder: Path, generator: random.Random) -> Iterator[dict[str, str]]:
    """Questions and answers of Alpaca, Dolly and GPTeacher, paired anew."""
    rows = json.loads(gzip.decompress((folder / "alpaca-52k/alpaca_data.json.gz").read_bytes()))
    rows += map(json.loads, (folder / "splits/dolly_dev.jsonl").read_text("utf-8").splitlines())
    rows += json.loads((folder / "gpteacher/codegen-instruct.json").read_text("utf-8"))
    while True:
        asked, answered = generator.choices(rows, k=2)
        output = answered.get("output") or answered.get("response") or "None."
        yield {"instruction": asked["instruction"], "input": asked.get("input") or "", "output": output}


def evaluation_rows(generator: random.Random, n: int) -> Iterator[dict[str, object]]:
    """Rows with the columns of GSM8K, HumanEval, MBPP and IFEval, and short questions, in turn."""
    for number in range(n):
        one, other = generator.sample(NAMES, 2)
        first, second, third = generator.sample(THINGS, 3)
        word, more = generator.sample(CODE_WORDS, 2)
        verb, place, topic = (generator.choice(words) for words in (VERBS, PLACES, TOPICS))
        n_days, n_parts = generator.sample(range(3, 99), 2)
        yield (
            {
                "question": f"{one} {verb} {number} {first} for {n_days} days while {other} trades two more "
                f"{second} at the {place}, losing one in {n_parts}. Who has {third} when {topic} class begins?",
                "answer": f"They own {number} {third}.\n#### {number}",
            },
            {
                "task_id": f"Made/{number}",
                "prompt": f'def {word}_of_{first}(rows):\n    """ Given rows of {first} with their {word}, return the '
                f'largest {more} between neighboring {second} unless {one} removed one. """\n',
                "canonical_solution": f"    return max(row.{more} for row in rows)\n",
            },
            {
                "text": f"Write a function to group {first} by {word} and drop {second} with {more} over {number}.",
                "code": f"def group(rows):\r\n  return [row for row in rows if row.{more} <= {number}]",
                "test_list": [],
            },
            {
                "prompt": f"Write an ad by {one} for {first} and {second} made of {third}. Mention {topic} "
                f"exactly {number} times.",
                "instruction_id_list": [],
            },
            {"question": f"Where did {one} hide {number} {first} from {other}?", "answer": f"{number}"},
        )[number % 5]


def contaminated(row: dict[str, object], clean: dict[str, str], generator: random.Random) -> dict[str, str]:
    """`clean` with the question of an evaluation row in it, in one of the ways that copies are made."""
    question = str(row.get("question") or row.get("prompt") or row.get("text"))
    n_words = len(question.split())
    if n_words < 16:
        return {**clean, "instruction": generator.choice((question, f"Q: {question}", f"Answer:\n{question.lower()}"))}
    ways = (
        {"instruction": question},
        {"instruction": f"{clean['instruction']}\n\n{question.upper()} {clean['input']}"},
        {"output": f"{clean['output']} {question.replace(',', ' -').replace('.', ' !')}"},
        {"input": " ".join(question.split()[: max(18, int(0.8 * n_words))])},
    )
    return {**clean, **generator.choice(ways)}


def _luhn(digits: str) -> str:
    total = sum(sum(divmod(2 * int(one), 10)) for one in digits[::-2]) + sum(map(int, digits[-2::-2]))
    return f"{digits}{-total % 10}"


def _card(generator: random.Random) -> str:
    prefix, n = generator.choice((("4", 16), ("51", 16), ("2300", 16), ("6011", 16), ("37", 15)))
    number = _luhn(prefix + text_of(generator, string.digits, n - len(prefix) - 1))
    if n == 16 and generator.random() < 0.5:
        return " ".join(number[place : place + 4] for place in range(0, 16, 4))
    return f"card number {number}"


def _iban(generator: random.Random) -> str:
    country, n = generator.choice((("DE", 18), ("FR", 23), ("ES", 20), ("CH", 17)))
    account = text_of(generator, string.digits, n)
    check = 98 - int(account + "".join(str(int(one, 36)) for one in country) + "00") % 97
    number = f"{country}{check:02}{account}"
    return generator.choice((number, " ".join(number[place : place + 4] for place in range(0, len(number), 4))))


def _public_ip(generator: random.Random) -> str:
    while True:
        address = ipaddress.IPv4Address(generator.randrange(2**24, 224 * 2**24))
        if address.is_global and address.packed[-1] not in (0, 255):
            return str(address)


def _phone(generator: random.Random) -> str:
    area, exchange = generator.randrange(201, 999), generator.choice((234, 387, 642, 771, 890))
    line = text_of(generator, string.digits, 4)
    area -= 10 if area // 10 % 10 == 9 else 0
    if str(area)[1:] == "11" or area in (555, 800, 833, 844, 855, 866, 877, 888, 900):
        area = 312
    return generator.choice((
        f"({area}) {exchange}-{line}", f"{area}-{exchange}-{line}", f"+1 {area} {exchange} {line}",
        f"+49 151 {generator.randrange(10**7, 10**8)}", f"+44 20 {generator.randrange(8000, 9000)} {line}",
        f"+33 6 {generator.randrange(10, 99)} {generator.randrange(10, 99)} {line[:2]} {line[2:]}",
        f"+91{generator.randrange(7 * 10**9, 10**10)}", f"Tel.: 030 {generator.randrange(10**6, 10**7)}",
    ))  # fmt: skip


def _email(generator: random.Random) -> str:
    domain = generator.choice(("gmail.com", "uni-ulm.de", "acme.co.uk"))
    return f"{generator.choice(NAMES)}.{generator.choice(THINGS)}{generator.randrange(99)}@{domain}"


PERSONAL: dict[str, Make] = {
    "email_address": _email,
    "phone_number": _phone,
    "ip_address": _public_ip,
    "iban_code": _iban,
    "credit_card": _card,
    "us_ssn": lambda one: f"{one.randrange(100, 660)}-{one.randrange(11, 99)}-{one.randrange(1000, 9999)}",
    "mac_address": lambda one: "00:1b:44:" + ":".join(f"{one.randrange(256):02x}" for _ in range(3)),
}
CARRIERS = ("Write to {} today.", "Contact: {}", "| {} | yes |", 'value = "{}"', "It was {}.", "({})")


def planted(clean: dict[str, str], private: str, generator: random.Random) -> dict[str, str]:
    """`clean` with a private text after one of the sentences of a column."""
    column = generator.choice(("instruction", "output"))
    sentences = clean[column].split(". ")
    sentences.insert(generator.randrange(len(sentences) + 1), generator.choice(CARRIERS).format(private))
    return {**clean, column: ". ".join(sentences)}
