"""Held-out rows that are in training: the same, nearly the same, of the same group."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest

from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks.rows.leakage import CHECKS
from pipelines.preflight.context_builder import build_context
from pipelines.records.finding import Severity
from tests.preflight.contexts import context_of, findings_by_id, pretraining_context, recipe_of, rows_of, write_jsonl

Row = dict[str, str]


findings_of = partial(findings_by_id, CHECKS)


def other_rows(n: int) -> list[Row]:
    """Rows that none of `rows_of` is like."""
    return [
        {
            "instruction": f"Why does the {thing} of {i} neighbors stand in the {i + 7}th street?",
            "output": f"Because {i * 3} people carried the {thing} there when the {i + 7}th street was built.",
        }
        for i, thing in enumerate(["clock", "bench", "tower", "fountain", "kiosk"] * (n // 5 + 1))
    ][:n]


@pytest.mark.parametrize("held_out", [rows_of(20, "another"), other_rows(20), rows_of(420)[400:]])
def test_clean_splits_give_nothing(base, tmp_path, held_out):
    assert findings_of(context_of(tmp_path, base, rows_of(200), held_out)) == {}


def test_without_held_out_rows_there_is_nothing_to_leak(base, tmp_path):
    assert findings_of(context_of(tmp_path, base, rows_of(20) * 2)) == {}


def test_held_out_rows_that_are_trained_on_are_an_error_with_both_row_numbers(base, tmp_path):
    rows = rows_of(100)
    held_out = [*other_rows(18), rows[40], rows[7]]
    found = findings_of(context_of(tmp_path, base, rows, held_out))
    assert list(found) == ["TRAIN_EVAL_OVERLAP"]
    finding = found["TRAIN_EVAL_OVERLAP"]
    assert finding.severity is Severity.ERROR
    assert finding.summary.startswith("2 of 20 (10.0%) held-out rows")
    assert finding.n_rows == 2
    assert [one.row for one in finding.evidence] == [18, 19]
    assert "is training row 40" in finding.evidence[0].text
    assert all(len(one.text) <= 160 for one in finding.evidence)


@pytest.mark.parametrize(
    ("n_leaked", "n_held_out", "severity"),
    [(1, 5, Severity.ERROR), (1, 100, Severity.WARNING), (2, 100, Severity.ERROR), (1, 250, Severity.NOTE)],
)
def test_the_share_of_leaked_rows_decides(base, tmp_path, n_leaked, n_held_out, severity):
    rows = rows_of(60)
    held_out = [*other_rows(n_held_out - n_leaked), *rows[:n_leaked]]
    assert findings_of(context_of(tmp_path, base, rows, held_out))["TRAIN_EVAL_OVERLAP"].severity is severity


def jokes(n: int, first: int) -> list[Row]:
    return [
        {"instruction": "Tell me a joke.", "output": f"Joke {i}: {word} of {word} met a {i} year old."}
        for i, word in enumerate(["Anna", "Bruno", "Clara", "David"] * n, first)
    ][:n]


@pytest.mark.parametrize(("n_jokes", "severity"), [(3, Severity.NOTE), (20, Severity.WARNING)])
def test_a_generic_request_with_another_answer_is_no_error(base, tmp_path, n_jokes, severity):
    context = context_of(tmp_path, base, [*rows_of(100), *jokes(2, 0)], [*other_rows(97), *jokes(n_jokes, 50)])
    found = findings_of(context)
    assert [(one.id, one.severity) for one in found.values()] == [("TRAIN_EVAL_OVERLAP", severity)]
    assert "with other answers" in found["TRAIN_EVAL_OVERLAP"].summary


def test_another_system_prompt_is_no_other_request_and_a_shared_one_is_no_likeness(base, tmp_path):
    system = "You are a patient teacher. " + " ".join(f"Rule {i}: be kind and brief, and say so." for i in range(20))

    def conversation(row: Row, prompt: str) -> dict[str, Any]:
        roles = [("system", prompt), ("user", row["instruction"]), ("assistant", row["output"])]
        return {"messages": [{"role": role, "content": content} for role, content in roles]}

    train = [conversation(row, system) for row in rows_of(100)]
    clean = [conversation(row, system) for row in other_rows(20)]
    assert findings_of(context_of(tmp_path / "clean", base, train, clean, max_length=4_096)) == {}
    leaked = [conversation(row, "You are a pirate.") for row in rows_of(2)]
    found = findings_of(context_of(tmp_path / "leaked", base, train, [*clean, *leaked], max_length=4_096))
    assert list(found) == ["TRAIN_EVAL_NEAR_OVERLAP"]
    assert found["TRAIN_EVAL_NEAR_OVERLAP"].n_rows == 2


def shouted(row: Row) -> Row:
    return {"instruction": row["instruction"].upper().rstrip("."), "output": row["output"].lower()}


def mistyped(row: Row) -> Row:
    return {**row, "instruction": row["instruction"].replace("sentence", "sentnece")}


@pytest.mark.parametrize(("changed", "severity"), [(shouted, Severity.ERROR), (mistyped, Severity.WARNING)])
def test_rows_changed_a_little_are_near(base, tmp_path, changed, severity):
    rows = rows_of(100)
    found = findings_of(context_of(tmp_path, base, rows, [*other_rows(30), *map(changed, rows[20:24])]))
    assert list(found) == ["TRAIN_EVAL_NEAR_OVERLAP"]
    finding = found["TRAIN_EVAL_NEAR_OVERLAP"]
    assert finding.severity is severity
    assert finding.n_rows == 4
    assert finding.evidence[0].row == 30
    assert "is training row 20" in finding.evidence[0].text


def test_evidence_shows_where_long_rows_part(base, tmp_path):
    passage = " ".join(
        f"The {i}th house belongs to a {word}." for i, word in enumerate(["baker", "smith", "miller"] * 9)
    )
    row = {"instruction": f"{passage} Who owns the first haus?", "output": "It belongs to a baker, as the text says."}
    edited = {**row, "instruction": row["instruction"].replace("haus", "house")}
    context = context_of(tmp_path, base, [*rows_of(20), row], [*other_rows(5), edited], max_length=4_096)
    [finding] = findings_of(context).values()
    assert "first house" in finding.evidence[0].text
    assert "first haus" in finding.evidence[0].text


def test_short_texts_that_everybody_says_are_no_leak(base, tmp_path):
    texts = [{"text": f"{one['instruction']} {one['output']}"} for one in rows_of(60)]
    held_out = [{"text": f"{one['instruction']} {one['output']}"} for one in other_rows(20)]
    thanks = {"text": "Thank you very much!"}
    [finding] = findings_of(context_of(tmp_path, base, [*texts, thanks], [*held_out, thanks])).values()
    assert (finding.id, finding.severity) == ("TRAIN_EVAL_OVERLAP", Severity.NOTE)


def test_preferences_leak_too(base, tmp_path):
    def pairs(rows: Sequence[Row]) -> list[Row]:
        return [
            {"prompt": row["instruction"], "chosen": row["output"], "rejected": "I would rather not say it."}
            for row in rows
        ]

    held_out = pairs([*other_rows(10), *rows_of(2)])
    context = context_of(tmp_path, base, pairs(rows_of(60)), held_out, stage=Stage.DPO, learning_rate=1e-6)
    [finding] = findings_of(context).values()
    assert (finding.id, finding.severity, finding.n_rows) == ("TRAIN_EVAL_OVERLAP", Severity.ERROR, 2)
    assert "build_preferences.py" in finding.remedy


def test_documents_of_a_corpus_leak_too(base, tmp_path):
    texts = [f"{one['instruction']} {one['output']} Document {i}." for i, one in enumerate(rows_of(40))]
    corpus = write_jsonl(tmp_path / "corpus.jsonl", texts * 2)
    context = pretraining_context(tmp_path, model_name_or_path=base, dataset_name=corpus)
    [finding] = findings_of(context).values()
    assert (finding.id, finding.severity) == ("TRAIN_EVAL_OVERLAP", Severity.ERROR)
    assert "build_corpus.py" in finding.remedy


def test_a_sample_is_said_to_be_one(base, tmp_path):
    recipe = recipe_of(tmp_path, base, rows_of(60), rows_of(60))
    context, _ = build_context(recipe, Stage.SFT, max_rows=30)
    assert "a sample of 30 of 60 train rows and 30 of 60" in findings_of(context)["TRAIN_EVAL_OVERLAP"].summary


def test_rows_that_are_dropped_do_not_leak(base, tmp_path):
    too_long = {"instruction": "Say it often.", "output": "It is said again and again. " * 300}
    assert findings_of(context_of(tmp_path, base, [*rows_of(20), too_long], [*other_rows(5), too_long])) == {}


def grouped(rows: Sequence[Row], groups: Sequence[str], **columns: str) -> list[Mapping[str, Any]]:
    return [{**row, **columns, "group": group} for row, group in zip(rows, groups, strict=True)]


OURS = {"source": "package", "source_row": "1"}


def test_a_module_in_both_splits_of_a_dataset_folder_is_an_error(base, tmp_path):
    train = grouped(rows_of(40), [f"module_{i // 4}" for i in range(40)], **OURS)
    held_out = grouped(other_rows(8), [f"module_{i + 7}" for i in range(8)], **OURS)
    [finding] = findings_of(context_of(tmp_path, base, train, held_out)).values()
    assert (finding.id, finding.severity, finding.n_rows) == ("GROUP_IN_TWO_SPLITS", Severity.ERROR, 3)
    assert finding.evidence[0].row == 0
    assert "module_7, also of training row 28" in finding.evidence[0].text


def test_a_random_split_of_a_dataset_folder_is_told_to_use_its_own(base, tmp_path):
    rows = grouped(rows_of(40), [f"module_{i // 8}" for i in range(40)], **OURS)
    context = context_of(tmp_path, base, rows, test_split_size=0.2, eval_strategy="steps")
    [finding] = findings_of(context).values()
    assert finding.id == "GROUP_IN_TWO_SPLITS"
    assert "remove `test_split_size: 0.2`" in finding.remedy


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        ([f"module_{i}" for i in range(40)], [f"module_{i}" for i in range(40, 48)]),  # kept apart
        (["all"] * 40, ["all"] * 8),  # one group for everything
        ([""] * 40, [""] * 8),
    ],
)
def test_groups_that_are_kept_apart_or_say_nothing_give_nothing(base, tmp_path, train, held_out):
    assert findings_of(context_of(tmp_path, base, grouped(rows_of(40), train), grouped(other_rows(8), held_out))) == {}
    ours = grouped(rows_of(40), train, **OURS), grouped(other_rows(8), held_out, **OURS)
    assert findings_of(context_of(tmp_path / "ours", base, *ours)) == {}


def test_the_same_name_in_another_source_is_another_group(base, tmp_path):
    names = [f"module_{i}" for i in range(8)]
    train = grouped(rows_of(8), names, source="one", source_row="1")
    held_out = grouped(other_rows(8), names, source="two", source_row="1")
    assert findings_of(context_of(tmp_path, base, train, held_out)) == {}


def test_categories_and_rows_numbered_anew_are_no_groups_of_a_foreign_set(base, tmp_path):
    topics = [["history", "physics"][i % 2] for i in range(60)]
    context = context_of(tmp_path / "topics", base, grouped(rows_of(60), topics), grouped(other_rows(8), topics[:8]))
    assert findings_of(context) == {}
    numbers = [str(i) for i in range(60)]
    context = context_of(tmp_path / "numbers", base, grouped(rows_of(60), numbers), grouped(other_rows(8), numbers[:8]))
    assert findings_of(context) == {}


def test_a_conversation_in_both_splits_is_a_warning(base, tmp_path):
    train = [{**row, "conversation_id": f"c{i // 2}"} for i, row in enumerate(rows_of(40))]
    held_out = [{**row, "conversation_id": f"c{18 + i}"} for i, row in enumerate(other_rows(8))]
    [finding] = findings_of(context_of(tmp_path, base, train, held_out)).values()
    assert (finding.id, finding.severity, finding.n_rows) == ("GROUP_IN_TWO_SPLITS", Severity.WARNING, 2)
    assert "conversation_id" in finding.remedy
