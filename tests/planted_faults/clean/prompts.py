"""Tasks whose prompts and answers have much in common, and columns that nobody needs to read."""

from tests.planted_faults.clean.clean_pair import CleanPair
from tests.planted_faults.families import Family
from tests.planted_faults.pair import Pair
from tests.planted_faults.sample_rows import Row, as_messages, code_rows, rows_in


def sentences_to_find() -> Pair:
    """Extraction: every answer is in its passage, at another place in each."""
    rows = [row for row in rows_in("english") if row["output"].count(". ") >= 1]
    made = []
    for n, row in enumerate(rows):
        sentences = [f"{one.rstrip('.')}." for one in row["output"].split(". ")]
        passage = " ".join([rows[n - 1]["output"], *sentences, rows[n - 2]["output"]][:4])
        made.append({"instruction": f"Which sentence answers this? {row['instruction']}", "input": passage,
                     "output": sentences[0]})  # fmt: skip
    return Pair(made)


def texts_to_correct() -> Pair:
    """Proofreading: more than half of the texts have no mistake and are returned as they are."""
    rows = [row["output"] for row in rows_in("english") if "\n" not in row["output"]]
    wrong = [
        text if n % 5 < 3 else text.replace(" the ", " teh ", 1).replace(" is ", " are ", 1)
        for n, text in enumerate(rows)
    ]
    return Pair(
        [
            {"instruction": f"Correct this text:\n\n{text}", "output": right}
            for text, right in zip(wrong, rows, strict=True)
        ]
    )


def translations_both_ways() -> Pair:
    """The first half translates into capitals, the second back: each prompt has its words in another row's answer."""
    texts = [row["output"] for row in rows_in("english")][:45]
    swapped = [" ".join(word[::-1] for word in text.split()) for text in texts]
    there = [{"instruction": f"Write backwards: {a}", "output": b} for a, b in zip(texts, swapped, strict=True)]
    back = [{"instruction": f"Write forwards: {b}", "output": a} for a, b in zip(texts, swapped, strict=True)]
    return Pair([*there, *back])


def code_to_complete() -> Pair:
    """The prompt is the head of a function, and so is the beginning of the answer in a third of the rows."""
    rows = []
    for n, row in enumerate(code_rows(800)[:90]):
        head, _, body = row["output"].partition("\n")
        rows.append({"prompt": f"{head}\n", "completion": f"{head}\n{body}" if n % 3 == 0 else body})
    return Pair(rows, keys={"max_length": 2048})


def stories_to_continue() -> Pair:
    """Prompts that break off in the middle of a sentence, at a word's end."""
    rows = []
    for row in rows_in("english"):
        words = f"{row['instruction']} {row['output']}".split(" ")
        cut = max(1, len(words) // 2)
        rows.append({"prompt": " ".join(words[:cut]), "completion": f" {' '.join(words[cut:])}"})
    return Pair(rows)


def chinese_completions() -> Pair:
    """No script without spaces needs one before a completion."""
    return Pair([{"prompt": f"问：{row['instruction']}答", "completion": row["output"]} for row in rows_in("chinese")])


def columns_about_the_rows() -> Pair:
    """Metadata, a rendered copy and a second answer beside the columns that are read."""
    rows: list[Row] = []
    for n, row in enumerate(rows_in("english")):
        rows.append({
            **row, "input": "", "id": f"row-{n:06}", "source": "notes", "url": f"https://example.org/pages/{n}/index.html",
            "title": f"Page {n} of the notes", "category": "open_qa", "model": "a model of ours", "score": n / 7,
            "text": f"### Instruction:\n{row['instruction']}\n\n### Response:\n{row['output']}",
            "reviewed_on": f"2024-03-{n % 28 + 1:02}", "answer": row["output"].split(". ")[0],
            "prompt_hash": f"{hash((n, 'x')) & 0xFFFFFFFF:08x}",
        })  # fmt: skip
    return Pair(rows)


def dialogues_with_short_answers() -> Pair:
    """Small talk: an answer has few words, and hardly any of the question's."""
    replies = (
        "Yes, every day.", "Not that I know.", "Only on Sundays.", "With pleasure.", "Ask me tomorrow.", "Never.",
        "Twice, in May.", "Of course.", "Sadly not.", "By train, as always.", "Somewhere in the attic.", "My aunt did.",
    )  # fmt: skip
    rows = [
        {**row, "output": f"{replies[n % 12]} {replies[n * 5 % 11]}"} for n, row in enumerate(rows_in("english"))
    ]  # fmt: skip
    return Pair([{"messages": as_messages(row)} for row in rows])


CLEAN_PAIRS = (
    CleanPair("sentences to find in a passage", Family.GPT2, sentences_to_find),
    CleanPair("texts to correct, most of them right", Family.LLAMA3, texts_to_correct),
    CleanPair("words backwards and back again", Family.CHATML, translations_both_ways),
    CleanPair("code to complete", Family.GPT2, code_to_complete),
    CleanPair("sentences to continue", Family.OWN, stories_to_continue),
    CleanPair("Chinese completions", Family.LLAMA3, chinese_completions),
    CleanPair("columns about the rows", Family.CHATML, columns_about_the_rows),
    CleanPair("small talk", Family.LLAMA3, dialogues_with_short_answers),
)
