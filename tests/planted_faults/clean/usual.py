"""Usual rows and recipes."""

from collections.abc import Callable

from tests.planted_faults.clean.clean_pair import CleanPair
from tests.planted_faults.families import Family
from tests.planted_faults.pair import Pair, Stage
from tests.planted_faults.sample_rows import (
    Row,
    as_messages,
    code_rows,
    conversations,
    documents,
    preferences,
    rows_in,
    tool_conversations,
    with_long_answers,
    with_long_inputs,
    with_system_turns,
)

_FULL = {
    "use_peft": None, "lora_r": None, "lora_alpha": None, "lora_dropout": None, "lora_target_modules": None,
    "learning_rate": 2e-5, "bf16": True,
}  # fmt: skip
_THINGS = ("soup", "hotel", "film", "blender", "concert", "train ride", "novel", "jacket", "museum", "phone")
_PRAISE = ("a delight from start to end", "better than I had hoped", "worth every cent", "simply lovely")
_BLAME = ("a waste of an evening", "broken within a week", "far too loud for me", "nothing like the picture")


def alpaca() -> Pair:
    """Instruction, an input that is empty for most rows, output."""
    rows = rows_in("english")
    with_input = with_long_inputs(rows, 1)
    return Pair([with_input[n] if n % 3 == 0 else {**row, "input": ""} for n, row in enumerate(rows)])


def dolly() -> Pair:
    """Questions with and without a passage, each with its category."""
    rows, kinds = with_long_inputs(rows_in("english"), 2), ("closed_qa", "open_qa", "brainstorming", "summarization")
    return Pair(
        [{**row, "input": row["input"] if n % 2 else "", "category": kinds[n % 4]} for n, row in enumerate(rows)]
    )


def chats() -> Pair:
    return Pair(conversations(rows_in("english"), 3), keys={"packing": True, "packing_strategy": "bfd"})


def sharegpt() -> Pair:
    speakers = {"user": "human", "assistant": "gpt"}
    return Pair(
        [
            {"conversations": [{"from": speakers[turn["role"]], "value": turn["content"]} for turn in chat["messages"]]}
            for chat in conversations(rows_in("english"), 2)
        ]
    )


def prompt_and_completion() -> Pair:
    return Pair(
        [{"prompt": f"Q: {row['instruction']}\nA:", "completion": f" {row['output']}"} for row in rows_in("english")]
    )


def plain_text() -> Pair:
    return Pair([{"text": f"{row['instruction']}\n\n{row['output']}"} for row in rows_in("english")])


def preference_chats() -> Pair:
    """Whole conversations whose last turns differ, as in UltraFeedback; some of them held out."""
    rows = []
    for row in preferences(rows_in("english")):
        asked = {"role": "user", "content": row["prompt"]}
        rows.append({kind: [asked, {"role": "assistant", "content": row[kind]}] for kind in ("chosen", "rejected")})
    return Pair(rows[:84], held_out=rows[84:], stage=Stage.DPO)


def four_bits() -> Pair:
    keys = {
        "load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "use_bnb_nested_quant": True, "dtype": "bfloat16",
        "bf16": True, "packing": True, "packing_strategy": "bfd",
    }  # fmt: skip
    return Pair(rows_in("english"), keys=keys)


def generic_requests() -> Pair:
    """Four requests, each with many texts to work on; other texts are held out."""
    texts = [row["output"] for row in rows_in("english") if len(row["output"]) > 60]
    tasks: tuple[tuple[str, Callable[[str], str]], ...] = (
        ("What is the first sentence of the text?", lambda text: f"{text.split('. ')[0].rstrip('.')}."),
        ("Count the words of the text.", lambda text: f"The text has {len(text.split())} words."),
        ("Write the text in capital letters.", str.upper),
        ("Turn the text into a list of words.", lambda text: ", ".join(text.split())),
    )
    rows = [
        {"instruction": request, "input": text, "output": done(text)}
        for text, (request, done) in zip(texts, tasks * len(texts), strict=False)
    ]
    return Pair(rows[:-10], held_out=rows[-10:])


def questions_to_write() -> Pair:
    """Question generation: every answer is a question, as it should be."""
    rows = [row for row in rows_in("english") if row["instruction"].endswith("?")]
    request = "Write a question that this text answers."
    return Pair([{"instruction": request, "input": row["output"], "output": row["instruction"]} for row in rows])


def templated_requests() -> Pair:
    """Rows that differ by a name and a number alone; other numbers are held out."""
    verbs = {"add": "+", "subtract": "-", "multiply": "*"}
    rows: list[Row] = [
        {"instruction": f"Write a function {verb}_{n}(x).", "output": f"def {verb}_{n}(x):\n    return x {sign} {n}"}
        for n in range(2, 32)
        for verb, sign in verbs.items()
    ]
    return Pair(rows[:78], held_out=rows[78:])


def labels() -> Pair:
    """Two answers for all questions: a classifier as an instruct model."""
    rows = [
        {"instruction": f"Is this review positive or negative?\n\nThe {thing} was {said}.", "output": label}
        for thing in _THINGS
        for label, words in (("positive", _PRAISE), ("negative", _BLAME))
        for said in words
    ]
    return Pair(rows)


CLEAN_PAIRS = (
    CleanPair("alpaca", Family.GPT2, alpaca),
    CleanPair("dolly", Family.LLAMA3, dolly),
    CleanPair("chats of three rounds, packed", Family.CHATML, chats),
    CleanPair("ShareGPT", Family.OWN, sharegpt),
    CleanPair("system turns", Family.LLAMA3, lambda: Pair(with_system_turns(rows_in("english")))),
    CleanPair("system turns, own template", Family.OWN, lambda: Pair(with_system_turns(rows_in("english")))),
    CleanPair("tools", Family.CHATML, lambda: Pair(tool_conversations())),
    CleanPair("Python code", Family.CHATML, lambda: Pair(code_rows(), keys={"max_length": 2048})),
    CleanPair(
        "long rows", Family.LLAMA3, lambda: Pair(with_long_answers(rows_in("english"), 8), keys={"max_length": 2048})
    ),
    CleanPair("Chinese", Family.CHATML, lambda: Pair(rows_in("chinese"))),
    CleanPair("German and French", Family.GPT2, lambda: Pair(rows_in("german_french"))),
    CleanPair("Russian", Family.LLAMA3, lambda: Pair(rows_in("russian"))),
    CleanPair("Arabic", Family.OWN, lambda: Pair(rows_in("arabic"))),
    CleanPair(
        "Japanese and English",
        Family.CHATML,
        lambda: Pair([{"messages": as_messages(row)} for row in rows_in("japanese")]),
    ),
    CleanPair("prompt and completion", Family.GPT2, prompt_and_completion),
    CleanPair("plain text", Family.LLAMA3, plain_text),
    CleanPair("preferences", Family.CHATML, lambda: Pair(preferences(rows_in("english")), stage=Stage.DPO)),
    CleanPair("preferences as chats", Family.OWN, preference_chats),
    CleanPair("pretraining", Family.OWN, lambda: Pair(documents(rows_in("english")), stage=Stage.PRETRAIN)),
    CleanPair("QLoRA, packed", Family.LLAMA3, four_bits),
    CleanPair("full fine-tuning", Family.GPT2, lambda: Pair(rows_in("english"), keys=_FULL)),
    CleanPair("generic requests", Family.CHATML, generic_requests),
    CleanPair("questions to write", Family.LLAMA3, questions_to_write),
    CleanPair("templated requests", Family.GPT2, templated_requests),
    CleanPair("labels", Family.LLAMA3, labels),
    CleanPair("mathematics", Family.OWN, lambda: Pair(rows_in("latex"))),
    CleanPair("markup", Family.OWN, lambda: Pair(rows_in("markup"))),
    CleanPair("dataset folder", Family.CHATML, lambda: Pair(rows_in("english"), folder_share=0.1)),
)
