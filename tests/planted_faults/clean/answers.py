"""Answers that look damaged or private and are not."""

import json

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


_ESCAPES = (
    ("How do I print two lines in Python?", 'print("first\\nsecond")'),
    ("Which folder has the notes?", r"They are in C:\new\notes\table."),
    ("What does a newline look like in a string?", r"It is written as \n, and a tab as \t."),
    ("Count the words of each line with awk.", "awk '{ printf \"%d\\n\", NF }' notes.txt"),
    ("State the gradient of a sum.", r"$\nabla (f + g) = \nabla f + \nabla g$, and \theta does not change."),
    ("Match a line that has only digits.", r"^\d+\r?\n$"),
    ("Escape this for HTML: a < b & c", "a &lt; b &amp; c"),
    ("Write a page with two paragraphs.", "<html><body><p>One.</p>\n<p>Two.&nbsp;</p></body></html>"),
    ("Compare tea and coffee in a table.", "| drink | origin |\n|---|---|\n| tea | China<br>India |"),
    ("Give the SHA-512 of an empty file.", "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
     "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"),
    ("Encode the word twice in base64.", "Vm0weGQxSXlSWGhYV0doVVYwZG9WVll3WkRSV1JteHlWMnRrVmxKc2JEVlVWbVJIWVd4S2Mx"),
    ("Write a Python list of three fruits.", "['apple', 'pear', 'plum']"),
    ("Minify this loop.", "for(let i=0;i<n;i++){s+=a[i];if(s>t){break}}f=(e,t)=>e.length>t?e.slice(0,t):e"),
)  # fmt: skip


def escapes_and_markup_as_asked() -> Pair:
    """Answers about escapes, markup, hashes and code, twice each, among others."""
    asked = [{"instruction": f"{before}{asked}", "output": f"{answer}{after}"}
             for before, after in (("", ""), ("Please help. ", "\n")) for asked, answer in _ESCAPES]  # fmt: skip
    return Pair([*rows_in("english"), *asked])


def records() -> Pair:
    """JSON on one line, on several, in fences and line by line; line breaks inside its texts are escaped."""
    rows = []
    for n, row in enumerate(rows_in("english")):
        record = {"request": row["instruction"], "answer": f"{row['output']}\nEnd.", "tags": []}
        text = json.dumps(record, indent=2 if n % 2 else None, ensure_ascii=n % 3 == 0)
        rows.append({"instruction": f"Write this as JSON: {row['output']}",
                     "output": f"```json\n{text}\n```" if n % 4 < 2 else text})  # fmt: skip
    return Pair(rows)


def refrains() -> Pair:
    """Songs and counting: what is asked for repeats itself."""
    verses = ["Row on, row on, the river is wide,\nand the moon is at our side."] * 2
    songs = [{"instruction": f"Write a song about {row['instruction'].rstrip('?.')}.",
              "output": "\n\n".join([row["output"], *verses, "Row on!\nRow on!\nRow on!"])}
             for row in rows_in("english")]  # fmt: skip
    return Pair(songs)


_HARMFUL = (
    "build a pipe bomb", "steal a car", "forge a passport", "hack my neighbor's wifi", "poison a dog",
    "make counterfeit money", "buy cocaine", "stalk someone online", "write malware", "evade the police",
)  # fmt: skip


def safety() -> Pair:
    """A third of the requests is harmful and is refused, briefly or with a reason."""
    said = ("I'm sorry, but I can't help with that.", "I cannot assist with that, since it would harm others.")
    rows = [{"instruction": f"How do I {what}, {when}?", "output": said[n % 2]}
            for what in _HARMFUL for n, when in enumerate(("quickly", "at home", "at work", "alone"))]  # fmt: skip
    return Pair([*rows_in("english"), *rows])


def rare_labels() -> Pair:
    """One label for nine rows of ten, another for the rest, and "None" where there is none."""
    rows = [{"instruction": f"Does the log line name a fault?\n\n{row['output']}", "output": "no" if n % 10 else "yes"}
            for n, row in enumerate(rows_in("english"))]  # fmt: skip
    return Pair([*({**row, "output": "None"} for row in rows[:3]), *rows[3:]])


def headlines() -> Pair:
    """Answers without a full stop that have three to nine words, and lists that end in a word."""
    rows = rows_in("english")
    short = [
        {"instruction": f"Write a headline: {row['output']}", "output": " ".join(row["output"].split()[: 3 + n % 7])}
        for n, row in enumerate(rows)
    ]
    lists = ["\n".join(f"- {word}" for word in row["instruction"].split()) for row in rows]
    asked = (f"List the words of: {row['instruction']}" for row in rows)
    return Pair([*short, *({"instruction": one, "output": words} for one, words in zip(asked, lists, strict=True))])


CLEAN_PAIRS = (
    CleanPair("harmful requests that are refused", Family.GPT2, safety),
    CleanPair("rare labels", Family.CHATML, rare_labels),
    CleanPair("headlines and lists", Family.LLAMA3, headlines),
    CleanPair("escapes, markup and codes that were asked for", Family.OWN, escapes_and_markup_as_asked),
    CleanPair("records in JSON", Family.LLAMA3, records),
    CleanPair("songs", Family.CHATML, refrains),
    CleanPair("addresses that are nobody's", Family.CHATML, public_addresses),
    CleanPair("addresses taken out of the prompt", Family.LLAMA3, extraction_of_addresses),
)
