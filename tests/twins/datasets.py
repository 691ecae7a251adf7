"""Tiny sets with the columns, splits and configuration names of the Hub sets that recipes name."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def _turns(n: int) -> list[Row]:
    """Two rounds: a chat set is no set of single questions."""
    return [
        {"role": "user", "content": f"What is {n} plus {n}?"},
        {"role": "assistant", "content": f"It is {n + n}."},
        {"role": "user", "content": "And one more?"},
        {"role": "assistant", "content": f"Then it is {n + n + 1}."},
    ]


def _conversation(n: int) -> Row:
    return {"source": "twin", "messages": _turns(n), "num_turns": 2}


def _python_task(n: int) -> Row:
    return {
        "instruction": f"Write a Python function that adds {n}.",
        "output": f"def f(x):\n    return x + {n}\n",
        "system": "Python.",
    }


def _preference(n: int) -> Row:
    question = {"role": "user", "content": f"What is {n} plus {n}?"}
    return {
        "chosen": [question, {"role": "assistant", "content": f"It is {n + n}."}],
        "rejected": [question, {"role": "assistant", "content": "No idea, ask someone else."}],
        "score_chosen": 8.0,
        "score_rejected": 3.0,
    }


def _web_page(n: int) -> Row:
    return {"text": f"Page {n} tells how water boils at {n} degrees.", "id": f"twin-{n}", "url": "https://example.org"}


def _code_file(n: int) -> Row:
    return {"repo_name": "twin/twin", "path": f"add_{n}.py", "content": _python_task(n)["output"], "license": "mit"}


# Hub id: (configuration, {split: number of rows}, row). A streamed corpus holds its first documents out.
_SETS: dict[str, tuple[str, dict[str, int], Callable[[int], Row]]] = {
    "trl-lib/Capybara": ("default", {"train": 8, "test": 2}, _conversation),
    "jtatman/python-code-dataset-500k": ("default", {"train": 52}, _python_task),
    "trl-lib/ultrafeedback_binarized": ("default", {"train": 8, "test": 2}, _preference),
    "HuggingFaceFW/fineweb-edu": ("sample-10BT", {"train": 500}, _web_page),
    "codeparrot/codeparrot-clean-train": ("default", {"train": 500}, _code_file),
    "build/quickstart/instructions": ("default", {"train": 60, "validation": 4}, _python_task),
    "build/base/corpus": ("default", {"train": 60, "validation": 20}, _web_page),
    "a text file of one's own": ("default", {"train": 500}, _web_page),
}


def save_twin_set(hub_id: str, folder: Path) -> Path:
    """Write the twin of a Hub set into `folder`, loadable by `datasets.load_dataset` with the same arguments."""
    configuration, splits, row = _SETS[hub_id]
    folder.mkdir(parents=True)
    files = [{"split": split, "path": f"{split}.jsonl"} for split in splits]
    card = {"configs": [{"config_name": configuration, "data_files": files}]}
    (folder / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n")  # JSON is YAML
    begin = 0
    for split, n_rows in splits.items():  # no row in two splits
        _write_rows(folder / f"{split}.jsonl", map(row, range(begin, begin + n_rows)))
        begin += n_rows
    return folder


def _write_rows(path: Path, rows: Iterable[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
