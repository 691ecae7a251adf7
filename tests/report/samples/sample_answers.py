"""Lines of responses.jsonl, made up from functions of the standard library: what the tests render."""

import bisect
import fnmatch
import heapq
import inspect
import posixpath
import random
import re
import shlex
import statistics
import textwrap
from collections.abc import Iterator
from typing import Any

FIND_MAX = "Write a Python function find_max(numbers) that returns the largest number."
SIMILAR_ID = 4  # the prompt whose two answers differ in a few lines only
_MODULES = (textwrap, shlex, fnmatch, bisect, heapq, statistics, posixpath, inspect, random)
_RAMBLE = "    if not isinstance({name}, str):\n        raise TypeError('no {name}')\n    self._{name} = {name}\n"


def requested_rows(n_rows: int) -> list[dict[str, Any]]:
    """Rows that ask for real functions, with their source as the reference; repeated if there are too few."""
    found = list(_functions())
    return [dict(found[number % len(found)]) for number in range(n_rows)]


def responses(n_prompts: int = 148, n_samples: int = 2, seed: int = 0) -> list[dict[str, Any]]:
    """find_max as an extra prompt, then `n_prompts` held-out ones, with answers of a base and of an instruct model."""
    chance = random.Random(seed)
    reference = "def find_max(numbers):\n    return max(numbers)\n"
    extra = {
        "instruction": FIND_MAX, "reference": None, "category": "extra", "counted": False,
        "requested": {"name": "find_max", "parameters": ["numbers"]}, "code": reference,
    }  # fmt: skip
    lines = []
    for number, row in enumerate([extra, *requested_rows(n_prompts)]):
        code = row.pop("code")
        answers = {
            "base": [_base_answer(row, chance) for _ in range(1 + n_samples)],
            "instruct": [_instruct_answer(row, code, chance) for _ in range(1 + n_samples)],
        }
        if number == SIMILAR_ID:
            answers["base"][0] = answer(code.replace("return", "yield"), parses=True, defines_requested_name=True)
        if number < 3:
            answers = {name: [with_tokens(some[0]), *some[1:]] for name, some in answers.items()}
        bits = {"base": chance.gauss(1.21, 0.2), "instruct": chance.gauss(0.98, 0.2)}
        lines.append(
            {"id": number, "input": "", **row, "judgements": {"instruct": _judgement(chance)}}
            | {"answers": {
                name: {"greedy": some[0], "samples": some[1:],
                       "response_bits_per_byte": bits[name] if row["reference"] else None}
                for name, some in answers.items()
            }}
        )  # fmt: skip
    return lines


def answer(text: str, *, stopped: bool = True, **checks: Any) -> dict[str, Any]:
    """One answer as responses.jsonl has it."""
    n_tokens = len(text) // 4 + 1
    known = {"stopped_by_itself": stopped, "n_tokens": n_tokens, "repetition": 0.0, "echoes_prompt": False}
    known |= dict.fromkeys(("parses", "defines_requested_name", "takes_requested_parameters"))
    return {"text": text, "n_tokens": n_tokens, "stopped": stopped, "checks": known | checks}


def with_tokens(one: dict[str, Any], *, alternatives: int = 4) -> dict[str, Any]:
    """The answer with a probability for each of its tokens, here its words with the white space before them."""
    chance, words = random.Random(3), re.findall(r"\s*\S+", one["text"])
    return one | {
        "tokens": [
            {"token": word, "probability": chance.random() ** 0.3,
             "alternatives": [{"token": f" other{n}", "probability": 0.1 / (n + 1)} for n in range(alternatives)]}
            for word in words
        ]
    }  # fmt: skip


def _functions() -> Iterator[dict[str, Any]]:
    for module in _MODULES:
        for name, function in vars(module).items():
            if not inspect.isfunction(function) or function.__code__.co_filename != module.__file__ or name[0] == "_":
                continue
            code, manual = inspect.getsource(function), inspect.getdoc(function)
            if manual and code.startswith("def ") and code.count("\n") <= 45:
                parameters = list(inspect.signature(function).parameters)
                task = " ".join(manual.split("\n\n")[0].split()).rstrip(".")
                yield {
                    "instruction": f"Write a Python function {name}({', '.join(parameters)}): {task}.",
                    "reference": code, "category": module.__name__, "counted": True, "code": code,
                    "requested": {"name": name, "parameters": parameters},
                }  # fmt: skip


def _base_answer(row: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    name = row["requested"]["name"]
    start = f' """{row["instruction"][:40]}\n\n    The *{name}* argument is the name of the module.\n    """\n'
    text = start + _RAMBLE.format(name=name) * chance.randint(4, 9)
    stopped = chance.random() < 0.02
    return answer(text, stopped=stopped, repetition=chance.uniform(0.4, 0.9), echoes_prompt=stopped,
                  parses=chance.random() < 0.03, defines_requested_name=chance.random() < 0.05,
                  takes_requested_parameters=False)  # fmt: skip


def _instruct_answer(row: dict[str, Any], code: str, chance: random.Random) -> dict[str, Any]:
    if row["category"] == "extra":
        return answer(code, **dict.fromkeys(("parses", "defines_requested_name", "takes_requested_parameters"), True))
    defines, takes = chance.random() < 0.86, chance.random() < 0.8
    text = code if defines else code.replace(row["requested"]["name"], "main")
    return answer(text.rstrip(), stopped=chance.random() < 0.94, repetition=chance.uniform(0, 0.25),
                  parses=chance.random() < 0.82, defines_requested_name=defines,
                  takes_requested_parameters=defines and takes)  # fmt: skip


def _judgement(chance: random.Random) -> dict[str, Any]:
    first, second = (chance.choice(("instruct", "instruct", "base", "tie")) for _ in range(2))
    verdict = {"instruct": "win", "base": "loss", "tie": "tie"}[first] if first == second else "tie"
    return {"base_first": first, "instruct_first": second, "verdict": verdict, "reason": "It returns what was asked."}
