"""Rows that say the same again: copies, answers that conflict, answers alike, one source over all."""

import json
from pathlib import Path

import pytest

from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.rows.repetition import CHECKS
from pipelines.preflight.context_builder import build_context
from pipelines.recipe import parse_recipe
from pipelines.recipe.stages import ARGUMENTS
from pipelines.records.finding import Finding, Severity
from tests.preflight.contexts import context_of, recipe_of, rows_of

Row = dict[str, str]


def findings_of(context: CheckContext) -> dict[str, Finding]:
    return {finding.id: finding for check in CHECKS for finding in check(context)}


def answered(rows: list[Row], *answers: str) -> list[Row]:
    """`rows` with the answers given in turn."""
    return [{**row, "output": answers[i % len(answers)]} for i, row in enumerate(rows)]


def pairs_of(rows: list[Row]) -> list[Row]:
    return [
        {"prompt": row["instruction"], "chosen": row["output"], "rejected": f"No. I know {i} better things to do."}
        for i, row in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("n_copies", "severity"), [(1, Severity.NOTE), (20, Severity.WARNING), (200, Severity.WARNING)]
)
def test_copies_are_counted_also_if_case_and_white_space_differ(
    base: Path, tmp_path: Path, n_copies: int, severity: Severity
) -> None:
    rows = rows_of(200)
    copies = [{"instruction": f" {row['instruction'].upper()}", "output": row["output"]} for row in rows[:n_copies]]
    [finding] = findings_of(context_of(tmp_path, base, [*rows, *copies])).values()
    assert (finding.id, finding.severity, finding.n_rows) == ("DUPLICATE_ROWS", severity, n_copies)
    assert finding.evidence[0].row == 200
    assert "is row 0 again" in finding.evidence[0].text


def test_copies_of_pairs_and_documents_are_found(base: Path, tmp_path: Path) -> None:
    context = context_of(tmp_path, base, pairs_of(rows_of(20)) * 2, stage=Stage.DPO, learning_rate=1e-6)
    assert list(findings_of(context)) == ["DUPLICATE_ROWS"]
    texts = [f"{one['instruction']} {one['output']}" for one in rows_of(40)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts * 2))
    words = ["--model_name_or_path", str(base), "--dataset_name", str(tmp_path / "corpus.jsonl"), "--bf16", "false"]
    recipe = parse_recipe(ARGUMENTS[Stage.PRETRAIN], [*words, "--output_dir", str(tmp_path / "run")])
    [finding] = findings_of(build_context(recipe, Stage.PRETRAIN)[0]).values()
    assert finding.id == "DUPLICATE_ROWS"
    assert "build_corpus.py" in finding.remedy


def test_a_sample_is_said_to_be_one(base: Path, tmp_path: Path) -> None:
    context, _ = build_context(recipe_of(tmp_path, base, rows_of(20) * 4), Stage.SFT, max_rows=60)
    assert "(of a sample of 60 of 80)" in findings_of(context)["DUPLICATE_ROWS"].summary


def test_several_answers_to_a_request_are_a_note(base: Path, tmp_path: Path) -> None:
    again = [{**row, "output": f"{row['output']} Or so they say in town."} for row in rows_of(100)]
    [finding] = findings_of(context_of(tmp_path, base, [*rows_of(100), *again])).values()
    assert (finding.id, finding.severity, finding.n_rows) == ("CONFLICTING_ANSWERS", Severity.NOTE, 200)
    assert "in row 100" in finding.evidence[0].text


def test_one_conflict_in_many_rows_is_not_worth_a_word(base: Path, tmp_path: Path) -> None:
    one_more = {**rows_of(1)[0], "output": "Something else."}
    assert findings_of(context_of(tmp_path, base, [*rows_of(400), one_more])) == {}


def test_labels_that_conflict_are_a_warning(base: Path, tmp_path: Path) -> None:
    rows = [*answered(rows_of(100), "positive", "negative"), *answered(rows_of(10), "negative", "positive")]
    [finding] = findings_of(context_of(tmp_path, base, rows)).values()
    assert (finding.id, finding.severity, finding.n_rows) == ("CONFLICTING_ANSWERS", Severity.WARNING, 20)


def test_a_request_that_lost_its_input_is_a_warning(base: Path, tmp_path: Path) -> None:
    rows = [{**row, "instruction": "Summarise the text."} for row in rows_of(60)]
    [finding] = findings_of(context_of(tmp_path, base, [*rows_of(260)[60:], *rows])).values()
    assert (finding.id, finding.severity) == ("CONFLICTING_ANSWERS", Severity.WARNING)
    assert "60 of them one and the same request" in finding.summary
    assert "`input`" in finding.remedy


def test_pairs_that_are_each_other_s_opposite_are_a_warning(base: Path, tmp_path: Path) -> None:
    pairs = pairs_of(rows_of(40))
    opposite = [{**pair, "chosen": pair["rejected"], "rejected": pair["chosen"]} for pair in pairs[:2]]
    another = [{**pair, "rejected": "Why should I?"} for pair in pairs[10:20]]
    rows = [*pairs, *another, *opposite]
    [finding] = findings_of(context_of(tmp_path, base, rows, stage=Stage.DPO, learning_rate=1e-6)).values()
    assert (finding.id, finding.severity, finding.n_rows) == ("CONFLICTING_ANSWERS", Severity.WARNING, 4)


@pytest.mark.parametrize("answer", ["I am sorry, but I cannot help with this.", "对不起，我无法回答您的这个问题。"])
def test_one_answer_to_a_quarter_of_the_requests_is_a_warning(base: Path, tmp_path: Path, answer: str) -> None:
    rows = [*answered(rows_of(25), answer), *rows_of(100)[25:]]
    [finding] = findings_of(context_of(tmp_path, base, rows)).values()
    assert (finding.id, finding.severity, finding.n_rows) == ("ANSWERS_ALIKE", Severity.WARNING, 25)
    assert answer.lower() in finding.summary


@pytest.mark.parametrize(
    "answers",
    [
        ("positive", "negative"),
        ("not enough information",),
        ("非常抱歉",),
    ],
)
def test_labels_have_to_be_alike(base: Path, tmp_path: Path, answers: tuple[str, ...]) -> None:
    assert findings_of(context_of(tmp_path, base, answered(rows_of(100), *answers))) == {}


@pytest.mark.parametrize(
    ("opening", "is_found"),
    [
        ("As an AI language model, I do not have any opinions, but ", True),
        ("Sure! ", False),
        ("#include <iostream>\n#include <string>\nusing namespace std;\n", False),
        ('{"name": "get_weather", "arguments": {"city": ', False),
        ("import numpy as np\nimport pandas as pd\nimport torch\n", False),
    ],
)
def test_openings_of_prose_alike_are_found_and_those_of_code_are_not(
    base: Path, tmp_path: Path, opening: str, is_found: bool
) -> None:
    rows = [{**row, "output": opening + row["output"]} if i % 5 else row for i, row in enumerate(rows_of(100))]
    found = findings_of(context_of(tmp_path, base, rows))
    assert list(found) == (["ANSWERS_ALIKE"] if is_found else [])
    if is_found:
        assert "begin with" in found["ANSWERS_ALIKE"].summary


def test_rejected_answers_may_be_alike(base: Path, tmp_path: Path) -> None:
    pairs = [{**pair, "rejected": "I do not know what to say about it."} for pair in pairs_of(rows_of(40))]
    assert findings_of(context_of(tmp_path / "rejected", base, pairs, stage=Stage.DPO, learning_rate=1e-6)) == {}
    pairs = [{**pair, "chosen": "I do not know what to say about it."} for pair in pairs_of(rows_of(40))]
    context = context_of(tmp_path / "chosen", base, pairs, stage=Stage.DPO, learning_rate=1e-6)
    assert list(findings_of(context)) == ["ANSWERS_ALIKE"]


def of_sources(*n_rows: int) -> list[Row]:
    names = [f"source_{i}" for i, n in enumerate(n_rows) for _ in range(n)]
    return [{**row, "source": name} for row, name in zip(rows_of(len(names)), names, strict=True)]


def test_a_source_beside_which_the_others_are_hardly_seen_is_a_warning(base: Path, tmp_path: Path) -> None:
    [finding] = findings_of(context_of(tmp_path, base, of_sources(290, 10))).values()
    assert (finding.id, finding.severity) == ("SOURCE_DOMINATES", Severity.WARNING)
    assert "source_1 has 10 of 300 rows" in finding.summary


def test_a_small_source_that_is_seen_often_is_a_note(base: Path, tmp_path: Path) -> None:
    [finding] = findings_of(context_of(tmp_path, base, of_sources(290, 10), num_train_epochs=12)).values()
    assert (finding.id, finding.severity) == ("SOURCE_DOMINATES", Severity.NOTE)
    [finding] = findings_of(context_of(tmp_path / "steps", base, of_sources(290, 10), max_steps=2_000)).values()
    assert finding.severity is Severity.NOTE


@pytest.mark.parametrize("n_rows", [(300,), (150, 150), (280, 20)])
def test_one_source_or_sources_of_some_weight_give_nothing(base: Path, tmp_path: Path, n_rows: tuple[int, ...]) -> None:
    assert findings_of(context_of(tmp_path, base, of_sources(*n_rows))) == {}
