"""Repetition: copies, conflicting answers, answers alike, one source over all."""

from functools import partial
from typing import Any

import pytest

from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks.rows.repetition import CHECKS
from pipelines.preflight.context_builder import build_context
from pipelines.records.finding import Severity
from tests.preflight.contexts import context_of, findings_by_id, pretraining_context, recipe_of, rows_of, write_jsonl

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
Row = dict[str, str]
DPO: dict[str, Any] = {"stage": Stage.DPO, "learning_rate": 1e-6}
ALIKE = "I do not know what to say about it."
findings_of = partial(findings_by_id, CHECKS)


def answered(rows: list[Row], *answers: str) -> list[Row]:
    """`rows` with the answers given in turn."""
    return [{**row, "output": answers[i % len(answers)]} for i, row in enumerate(rows)]


def some_pairs(n: int, **changed: str) -> list[Row]:
    said = "No. I know {} better things to do."
    return [
        {"prompt": row["instruction"], "chosen": row["output"], "rejected": said.format(i), **changed}
        for i, row in enumerate(rows_of(n))
    ]


def opened_with(opening: str) -> list[Row]:
    return [{**row, "output": opening + row["output"]} if i % 5 else row for i, row in enumerate(rows_of(100))]


def copied(n: int) -> list[Row]:
    """200 rows and `n` copies with other case and white space."""
    rows = rows_of(200)
    return rows + [{"instruction": f" {row['instruction'].upper()}", "output": row["output"]} for row in rows[:n]]


def of_sources(*n_rows: int) -> list[Row]:
    names = [f"source_{i}" for i, n in enumerate(n_rows) for _ in range(n)]
    return [{**row, "source": name} for row, name in zip(rows_of(len(names)), names, strict=True)]


EXTRACTED = [
    {"instruction": f"Who is it? Anna {i} is. {row['output']}", "output": f"Anna {i}" if i % 3 else "It does not say."}
    for i, row in enumerate(rows_of(90))
]  # fmt: skip
CLEAN: list[tuple[list[Row], dict[str, Any]]] = [
    (rows_of(200), {}),
    (some_pairs(50), DPO),
    (some_pairs(40, rejected=ALIKE), DPO),
    ([*rows_of(400), {**rows_of(1)[0], "output": "Something else."}], {}),
    *((answered(rows_of(100), *labels), {}) for labels in (("positive", "negative"), ["no"] * 19 + ["yes"])),
    ([*answered(rows_of(60), "no"), *answered(rows_of(100)[60:80], "yes"), *rows_of(100)[80:]], {}),
    *((opened_with(opening), {}) for opening in (
        "Sure! ", "#include <iostream>\n#include <string>\nusing namespace std;\n",
        '{"name": "get_weather", "arguments": {"city": ', "import numpy as np\nimport pandas as pd\nimport torch\n",
    )),
    *((of_sources(*n_rows), {}) for n_rows in ((300,), (150, 150), (280, 20))),
    (EXTRACTED, {}),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "keys"), CLEAN)
def test_clean_rows_give_nothing(base, tmp_path, rows, keys):
    assert findings_of(context_of(tmp_path, base, rows, **keys)) == {}


AGAIN = [{**row, "output": f"{row['output']} Or so they say in town."} for row in rows_of(100)]
LOST_INPUT = [{**row, "instruction": "Summarise the text."} for row in rows_of(60)]
OPPOSITE = [{**one, "chosen": one["rejected"], "rejected": one["chosen"]} for one in some_pairs(40)[:2]]
SORRY, CHINESE = "I am sorry, but I cannot help with this.", "对不起，我无法回答您的这个问题。"
OPENING = "As an AI language model, I do not have any opinions, but "
CONFLICT = "CONFLICTING_ANSWERS"
# rows, keys, finding, severity, number of rows, what it says
FAULTS: list[tuple[list[Row], dict[str, Any], str, Severity, int | None, str]] = [
    *((copied(n), {}, "DUPLICATE_ROWS", severity, n, "is row 0 again") for n, severity in (
        (1, NOTE), (20, WARNING), (200, WARNING),
    )),
    (some_pairs(20) * 2, DPO, "DUPLICATE_ROWS", WARNING, 20, ""),
    ([*rows_of(100), *AGAIN], {}, CONFLICT, NOTE, 200, "in row 100"),
    ([*answered(rows_of(100), "positive", "negative"), *answered(rows_of(10), "negative", "positive")], {}, CONFLICT,
     WARNING, 20, "labels"),
    ([*rows_of(260)[60:], *LOST_INPUT], {}, CONFLICT, WARNING, 60, "60 of them the same request"),
    ([*rows_of(260)[60:], *LOST_INPUT], {}, CONFLICT, WARNING, 60, "`input`"),
    ([*some_pairs(40), *({**one, "rejected": "Why should I?"} for one in some_pairs(20)[10:]), *OPPOSITE], DPO,
     CONFLICT, WARNING, 4, "rejects"),
    *(([*answered(rows_of(25), answer), *rows_of(100)[25:]], {}, "ANSWERS_ALIKE", WARNING, 25, answer.lower())
      for answer in (SORRY, CHINESE)),
    *(([*answered(rows_of(60), answer), *rows_of(100)[60:]], {}, "ANSWERS_ALIKE", WARNING, 60, "60 of 100")
      for answer in ("Not enough information.", "非常抱歉")),
    (answered(rows_of(40), "OK"), {}, "ANSWERS_ALIKE", WARNING, 40, "40 of 40"),
    (opened_with(OPENING), {}, "ANSWERS_ALIKE", WARNING, 80, "begin with"),
    (some_pairs(40, chosen=ALIKE), DPO, "ANSWERS_ALIKE", WARNING, 40, ""),
    (of_sources(290, 10), {}, "SOURCE_DOMINATES", WARNING, 290, "source_1 has 10 of 300 rows"),
    (of_sources(290, 10), {"num_train_epochs": 12}, "SOURCE_DOMINATES", NOTE, 290, ""),
    (of_sources(290, 10), {"max_steps": 2_000}, "SOURCE_DOMINATES", NOTE, 290, ""),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "keys", "name", "severity", "n_rows", "text"), FAULTS)
def test_repetition_is_found(
    base, tmp_path, rows, keys, name, severity, n_rows,
    text
):  # fmt: skip
    [finding] = findings_of(context_of(tmp_path, base, rows, **keys)).values()
    assert (finding.id, finding.severity, finding.n_rows) == (name, severity, n_rows)
    assert text in " ".join([finding.summary, finding.remedy, *(one.text for one in finding.evidence)])
    if name == "DUPLICATE_ROWS":
        assert finding.evidence[0].row == len(rows) - (n_rows or 0)


def test_copies_of_documents_are_found(base, tmp_path):
    corpus = write_jsonl(
        tmp_path / "corpus.jsonl", [f"{row['instruction']} {row['output']}" for row in rows_of(40)] * 2
    )
    [finding] = findings_of(pretraining_context(tmp_path, model_name_or_path=base, dataset_name=corpus)).values()
    assert finding.id == "DUPLICATE_ROWS"
    assert "build_corpus.py" in finding.remedy


def test_a_sample_is_named_as_one(base, tmp_path):
    context, _ = build_context(recipe_of(tmp_path, base, rows_of(20) * 4), Stage.SFT, max_rows=60)
    assert "(in a sample of 60 of 80)" in findings_of(context)["DUPLICATE_ROWS"].summary
