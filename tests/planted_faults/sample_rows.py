"""Clean rows to plant faults in: hand-written questions and answers, and the shapes that datasets give them."""

import inspect
import json
import textwrap
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

Row = dict[str, Any]

_CODE_MODULES = (
    "ast", "base64", "bisect", "calendar", "colorsys", "copy", "fnmatch", "glob", "gettext", "heapq", "linecache",
    "mimetypes", "pprint", "quopri", "shlex", "shutil", "statistics", "tempfile", "textwrap", "traceback", "types",
)  # fmt: skip
_CITIES = (
    "Oslo", "Lima", "Cairo", "Delhi", "Rome", "Quito", "Perth", "Hanoi", "Accra", "Minsk", "Sofia", "Dakar", "Milan",
    "Osaka", "Leeds", "Turin", "Basel", "Porto", "Lagos", "Tunis",
)  # fmt: skip
_WEATHER = ("clear sky", "light rain", "thick fog", "strong wind", "wet snow", "thunderstorms", "scattered clouds")


@cache
def _lines(language: str) -> tuple[str, ...]:
    text = (Path(__file__).parent / "rows" / f"{language}.jsonl").read_text(encoding="utf-8")
    return tuple(text.strip().split("\n"))


def rows_in(language: str) -> list[Row]:
    """Rows of `rows/<language>.jsonl`: an instruction and an output."""
    return [json.loads(line) for line in _lines(language)]


def as_messages(row: Row, system: str | None = None) -> list[Row]:
    """A row as one round of chat."""
    before = [] if system is None else [{"role": "system", "content": system}]
    return [
        *before, {"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["output"]}
    ]  # fmt: skip


def conversations(rows: Sequence[Row], n_rounds: int) -> list[Row]:
    """Chats of `n_rounds` rounds: every row is in one."""
    parts = [rows[begin : begin + n_rounds] for begin in range(0, len(rows), n_rounds)]
    return [{"messages": [turn for row in part for turn in as_messages(row)]} for part in parts]


def with_system_turns(rows: Sequence[Row]) -> list[Row]:
    """Chats of one round that begin with one of four system turns."""
    persons = ("a patient teacher", "a friendly librarian", "an expert who is brief", "a helpful assistant")
    return [{"messages": as_messages(row, f"You are {persons[n % 4]}.")} for n, row in enumerate(rows)]


def with_long_inputs(rows: Sequence[Row], n_texts: int) -> list[Row]:
    """Questions about a passage (the answers of the next `n_texts` rows), as Dolly's closed questions are."""
    outputs = [row["output"] for row in rows]
    passages = [" ".join((outputs + outputs)[n + 1 : n + 1 + n_texts]) for n in range(len(rows))]
    return [
        {"instruction": row["instruction"], "input": passage, "output": row["output"]}
        for row, passage in zip(rows, passages, strict=True)
    ]


def with_long_answers(rows: Sequence[Row], n_answers: int) -> list[Row]:
    """Requests to answer several questions at once, numbered."""
    parts = [rows[begin : begin + n_answers] for begin in range(0, len(rows), n_answers)]
    return [
        {
            "instruction": f"Answer these questions.\n{_numbered(row['instruction'] for row in part)}",
            "output": _numbered(row["output"] for row in part),
        }
        for part in parts
    ]  # fmt: skip


def _numbered(texts: Iterable[str]) -> str:
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))


def tool_conversations() -> list[Row]:
    """Questions about the weather that are answered by calling a tool."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "get_weather", "description": "The weather of a city now.",
                                             "parameters": parameters}}  # fmt: skip
    rows = []
    for n, city in enumerate(_CITIES):
        sky, degrees = _WEATHER[n % len(_WEATHER)], 3 + n * 7 % 29
        call = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": city}}}
        asked = (f"What is the weather like in {city}?", f"Do I need an umbrella in {city} today?",
                 f"I am flying to {city} this afternoon. How warm is it there?")[n % 3]  # fmt: skip
        messages = [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "name": "get_weather", "content": json.dumps({"sky": sky, "celsius": degrees})},
            {"role": "assistant", "content": f"In {city} it is {degrees} degrees with {sky} at the moment."},
        ]
        rows.append({"messages": messages, "tools": [tool]})
    return rows


@cache
def _code_texts() -> tuple[tuple[str, str], ...]:
    found = []
    for name in _CODE_MODULES:
        module = __import__(name)
        for function_name, function in inspect.getmembers(module, inspect.isfunction):
            about = (inspect.getdoc(function) or "").split("\n")[0].strip()
            is_there = Path(function.__code__.co_filename).is_file()  # some modules are frozen into the interpreter
            if is_there and function.__module__ == name and len(about) > 25:
                asked = f"Write a Python function {function_name}{inspect.signature(function)}. {about}"
                found.append((asked, textwrap.dedent(inspect.getsource(function)).rstrip()))
    return tuple(found)


def code_rows(max_characters: int = 1500) -> list[Row]:
    """Functions of the standard library with what their documentation says of them."""
    return [{"instruction": asked, "output": code} for asked, code in _code_texts() if len(code) <= max_characters]


def preferences(rows: Sequence[Row]) -> list[Row]:
    """Pairs: the row's answer is preferred to one that misses the question."""
    others = [row["output"] for row in rows[7:]] + [row["output"] for row in rows[:7]]
    return [
        {"prompt": row["instruction"], "chosen": row["output"], "rejected": other}
        for row, other in zip(rows, others, strict=True)
    ]


def documents(rows: Sequence[Row], n_answers: int = 6) -> list[Row]:
    """Texts for pretraining: a heading and some paragraphs."""
    parts = [rows[begin : begin + n_answers] for begin in range(0, len(rows), n_answers)]
    return [
        {"text": f"Notes, part {n}\n\n" + "\n\n".join(row["output"] for row in part)} for n, part in enumerate(parts, 1)
    ]
