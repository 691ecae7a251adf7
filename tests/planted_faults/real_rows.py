"""Real rows, tokenizers and configs for the doctor, where they are at hand: samples of 400, seeded."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from tests.planted_faults.sample_rows import Row
from tests.twins.models import real_config

_N_ROWS = 400
_BASES = {"gpt2": "gpt2-hf", "qwen2.5-0.5b": "qwen2.5"}  # config in tests/twins, tokenizer in shared data


def save_real_base(model: str, folder: Path, shared_data: Path) -> Path:
    """The real config and the real tokenizer of `model`, no weights: the doctor reads none."""
    real_config(model).save_pretrained(folder)
    AutoTokenizer.from_pretrained(shared_data / "tokenizers" / _BASES[model]).save_pretrained(folder)
    return folder


def _dolly(shared_data: Path) -> list[Row]:
    return _lines((shared_data / "splits" / "dolly_dev.jsonl").read_text(encoding="utf-8"))


def _alpaca(shared_data: Path) -> list[Row]:
    with gzip.open(shared_data / "alpaca-52k" / "alpaca_data.json.gz", "rt", encoding="utf-8") as file:
        return list(json.load(file))


def _gpteacher(shared_data: Path) -> list[Row]:
    rows = json.loads((shared_data / "gpteacher" / "codegen-instruct.json").read_text(encoding="utf-8"))
    return [
        {"instruction": row["instruction"], "input": row["input"], "output": row["response"]} for row in rows
    ]  # fmt: skip


def _oasst(shared_data: Path) -> list[Row]:
    with gzip.open(shared_data / "oasst1-en" / "en-train-messages.jsonl.gz", "rt", encoding="utf-8") as file:
        return [{"text": row["text"]} for row in _lines(file.read())]


def _llms_from_scratch(shared_data: Path) -> list[Row]:
    return list(json.loads((shared_data / "llms-from-scratch" / "instruction-data.json").read_text(encoding="utf-8")))


def _tool_calls(shared_data: Path) -> list[Row]:
    path = shared_data / "llamafactory-demos" / "glaive_toolcall_en_demo.json"
    return list(json.loads(path.read_text(encoding="utf-8")))


SETS: dict[str, Callable[[Path], list[Row]]] = {
    "dolly": _dolly,
    "alpaca": _alpaca,
    "gpteacher": _gpteacher,
    "oasst": _oasst,
    "llms-from-scratch": _llms_from_scratch,
    "glaive tool calls": _tool_calls,
}


# Which base sees which set: rows with tool calls are longer than GPT-2's 1,024 tokens.
PAIRS = [(name, "gpt2") for name in SETS if name != "glaive tool calls"] + [
    ("dolly", "qwen2.5-0.5b"), ("glaive tool calls", "qwen2.5-0.5b"),
]  # fmt: skip


def sample_of(name: str, shared_data: Path) -> list[Row]:
    """400 rows of the set, in their order."""
    rows = SETS[name](shared_data)
    chosen = sorted(random.Random(0).sample(range(len(rows)), min(_N_ROWS, len(rows))))
    return [rows[number] for number in chosen]


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split("\n") if line.strip()]
