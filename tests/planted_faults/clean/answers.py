"""Answers that look damaged or private and are not."""

from tests.planted_faults.clean.clean_pair import CleanPair
from tests.planted_faults.families import Family
from tests.planted_faults.pair import Pair
from tests.planted_faults.sample_rows import rows_in


def public_addresses() -> Pair:
    """A firm's own addresses, examples of the documentation, and numbers that are nobody's."""
    said = (
        "Write to support@brightkettle.com or call 1-800-356-9377.", "For instance, mail anna@example.com.",
        "Ping 127.0.0.1 first, then 192.168.0.12.", "The ISBN is 978-0-306-40615-7.",
        "Your order 4512-8830-1197 has been sent.", "Version 10.4.200.17 is the newest.",
        'Set api_key = "sk-XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX".',
        "The commit is 9fceb02d0ae598e95dc970b74767f19372d61af8.",
    )  # fmt: skip
    return Pair(
        [{**row, "output": f"{row['output']} {said[n % len(said)]}"} for n, row in enumerate(rows_in("english"))]
    )


def extraction_of_addresses() -> Pair:
    """Contacts that are taken out of a text: the answer has what the prompt gave."""
    names = ("Mara", "Tomasz", "Ines", "Jonas", "Aiko", "Leila", "Rui", "Greta")
    places = ("Lund", "Gdynia", "Braga", "Bern", "Kobe", "Tyre")
    rows = []
    for n, (name, place) in enumerate((name, place) for name in names for place in places):
        address = f"{name.lower()}@{place.lower()}-rowing.org"
        asked = f"Which address is in this note?\n\n{name} of the {place} club asked for {n} oars. Reply to {address}."
        rows.append({"instruction": asked, "output": address})
    return Pair(rows)


CLEAN_PAIRS = (
    CleanPair("addresses that are nobody's", Family.CHATML, public_addresses),
    CleanPair("addresses taken out of the prompt", Family.LLAMA3, extraction_of_addresses),
)
