"""Tasks on this machine for lm-evaluation-harness: sums to choose from, and sums to write."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.evaluation.lm_eval.tasks import TaskChoice, load_tasks
from tests.run_files import write_jsonl

N_ITEMS = 12
_TASK = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    train: {folder}/train.jsonl
    test: {folder}/test.jsonl
training_split: train
test_split: test
{own}
metadata:
  version: 1.5
"""
CHOOSING = """\
doc_to_text: "Question: {{question}}\\nAnswer:"
output_type: multiple_choice
doc_to_target: "{{answer}}"
doc_to_choice: "{{choices}}"
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true"""
DISTANCE = """
  - metric: brier_score
    aggregation: brier_score
    higher_is_better: true"""
WRITING = """\
doc_to_text: "Question: {{question}}\\nAnswer:"
output_type: generate_until
doc_to_target: "{{written}}"
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 8, do_sample: false}
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true"""

READING = """\
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}}"
metric_list:
  - metric: bits_per_byte
    aggregation: bits_per_byte
    higher_is_better: false"""


def items(n: int = N_ITEMS) -> list[dict[str, Any]]:
    """Sums with three choices; the place of the right one changes from item to item."""
    rows = []
    for number in range(n):
        a, b = number % 7, number % 5 + 1
        choices = [str(a + b), str(a + b + 1), str(a * b + 20)]
        place = number % 3
        rows.append(
            {"question": f"What is {a} + {b}?", "choices": choices[place:] + choices[:place], "answer": -place % 3}
        )
    return rows


def write_rows(folder: Path, written: Sequence[str] = ()) -> None:
    """train.jsonl and test.jsonl; `written` has what a model is expected to write for each item."""
    rows = [{**row, "written": text} for row, text in zip(items(), [*written, *["?"] * N_ITEMS], strict=False)]
    for split, found in (("train", rows[:4]), ("test", rows)):
        write_jsonl(folder / f"{split}.jsonl", found)


def write_task(folder: Path, name: str, own: str) -> Path:
    """A task file over the rows of `write_rows`; `own` has its further keys."""
    path = folder / f"{name}.yaml"
    path.write_text(_TASK.format(name=name, folder=folder, own=own))
    return path


def local_tasks(folder: Path, own: str, written: Sequence[str] = (), seed: int = 0, **choice: Any) -> dict[str, Any]:
    """The task "local" over these rows, loaded."""
    write_rows(folder, written)
    write_task(folder, "local", own)
    return load_tasks(TaskChoice(["local"], folder, **choice), seed)
