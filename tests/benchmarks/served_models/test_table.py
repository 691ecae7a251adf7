"""A line of the table from a record, from a refusal, and from an engine's log."""

import json

import pytest

from tests.benchmarks.served_models import engines
from tests.benchmarks.served_models.__main__ import cell, figures

RECORD = {
    "checks": [
        {"name": name, "n_equal": n_equal, "n": n}
        for name, n_equal, n in (
            ("prompt tokens", 35, 35), ("numbers of tokens of texts", 199, 200), ("greedy answers", 34, 35),
            ("and their ends", 34, 34),
        )
    ],
    "n_ties": 1, "divergence": {"max_difference": 1.8e-4}, "findings": [{"cause": "normalization"}],
}  # fmt: skip


def test_a_record_fills_the_columns_that_the_engine_tells():
    assert figures(RECORD) == {
        "tokens": "199/200", "template": "-", "prompt tokens": "35/35", "greedy": "34/35 (+1 ties)", "stop": "34/34",
        "largest difference": "1.8e-04 normalization",
    }  # fmt: skip
    assert figures({**RECORD, "divergence": None, "findings": [], "n_ties": 0})["largest difference"] == "-"


@pytest.mark.parametrize(("engine", "reason"), [("vLLM", "16 dimensions"), ("mlx-lm", "`transformer.`")])
def test_an_engine_that_does_not_load_a_model_says_why_before_any_work(tmp_path, engine, reason):
    merged = tmp_path / "GPT-2" / "merged"
    merged.mkdir(parents=True)
    (merged / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_embd": 64, "n_head": 4}))
    line = cell(engine, "GPT-2", tmp_path / "environments", tmp_path)
    assert line["loads"].startswith("no: ")
    assert reason in line["loads"]
    assert not (tmp_path / "environments").exists()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("INFO start\nWARNING FooError: no\nValueError: bad shape\nRuntimeError: ended\n", "ValueError: bad shape"),
        ("loading\nstopped\n", "stopped"), ("", "it ended without a message"),
    ],
)  # fmt: skip
def test_the_reason_is_the_first_error_of_a_log_else_its_last_line(tmp_path, said, reason):
    log = tmp_path / "log"
    log.write_text(said)
    assert engines._reason(log) == reason
