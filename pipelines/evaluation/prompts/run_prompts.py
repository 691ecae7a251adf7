"""The prompts that a run is proven on: given rows, else rows that the run held out, else a few built-in ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import is_dataset_folder, read_manifest
from pipelines.errors import UserError
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.prompts.prompt_sets import held_out_prompts
from pipelines.files import read_json
from pipelines.hub.model_ref import value_in_records
from pipelines.hub.pulling import local_copy

# Without held-out rows: several languages, code, numbers, lists.
FALLBACK_PROMPTS = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is 17 plus 25?", "17 plus 25 is 42."),
    ("Explain in one sentence why the sky is blue.", "Air scatters blue light more than red light."),
    ("Write a Python function add(a, b).", "def add(a, b):\n    return a + b\n"),
    ("Write a Python function is_even(n).", "def is_even(n: int) -> bool:\n    return n % 2 == 0\n"),
    ("What does this print?\n\nfor i in range(3):\n    print(i)", "0\n1\n2"),
    ("Write an SQL query that counts the rows of the table users.", "SELECT COUNT(*) FROM users;"),
    ("Translate into German: Good morning, how are you?", "Guten Morgen, wie geht es dir?"),
    ("Traduisez en anglais : Le chat dort sur la chaise.", "The cat sleeps on the chair."),
    ("¿Cuántos lados tiene un triángulo?", "Un triángulo tiene tres lados."),
    ("水は何度で沸騰しますか。", "一気圧では百度で沸騰します。"),
    ("一年有几个季节？", "一年有四个季节。"),
    ("Сколько дней в неделе?", "В неделе семь дней."),
    ("كم عدد أيام الأسبوع؟", "سبعة أيام."),
    ("Give the opposite of each word: hot, tall, early.", "cold, short, late"),
    ("Sort these numbers from small to large: 9, 4, 11, 2.", "2, 4, 9, 11"),
)
_HELD_OUT = ("validation", "test")


def prompts_of_run(run: str, path: Path | None, split: str, seed: int) -> tuple[list[Prompt], str]:
    """The rows of `path`, else the held-out rows of the dataset that `run` was trained on, else the fallback prompts;
    and where they came from. Raises `UserError` for a `path` that cannot be read."""
    if path is not None:
        source = f"{split} split of {path}" if is_dataset_folder(path) else str(path)
        return held_out_prompts(path, split, limit=None, seed=seed), source
    return _of_the_run(run) or (_fallback_prompts(), "fallback prompts")


def _of_the_run(run: str) -> tuple[list[Prompt], str] | None:
    """The held-out rows of the run, None where they can no longer be read."""
    path = Path(str(_recipe(run).get("dataset_name")))
    if not is_dataset_folder(path):
        return None
    held_out = next((split for split in _HELD_OUT if read_manifest(path)["n_rows"].get(split, 0) > 1), None)
    if held_out is None:
        return None
    try:
        rows = held_out_prompts(path, held_out, limit=None, seed=0)
    except UserError:  # rows of another kind, such as texts
        return None
    return rows, f"{held_out} split of {path}"


def _recipe(run: str) -> Mapping[str, Any]:
    """The recipe of the run, or of the first adapter of a merged model; empty where it can no longer be read."""
    merged = local_copy(run).folder / "merge.json"
    if not merged.is_file():
        return value_in_records(run, "recipe")
    try:
        return value_in_records(str(read_json(merged)["adapters"][0]["name_or_path"]), "recipe")
    except UserError:
        return {}


def _fallback_prompts() -> list[Prompt]:
    return [Prompt(number, asked, reference=answer) for number, (asked, answer) in enumerate(FALLBACK_PROMPTS)]
