"""What check_served.py found, in the report and in the model card."""

import json

import pytest

from pipelines.report.model_card.writing import model_card
from pipelines.report.provenance import all_facts
from pipelines.report.reading import read_records
from pipelines.report.served import served_line
from tests.report.samples.sample_card import write_card_records

SAME = {
    "kind": "served",
    "engine": "llama.cpp b11549",
    "same": True,
    "findings": [{"cause": "precision", "note": True, "observed": "KL 1.4e-04 nats a token"}],
    "checks": [
        {"name": "tokens of texts", "n_equal": 200, "n": 200, "first": ""},
        {"name": "greedy answers", "n_equal": 34, "n": 35, "first": ""},
    ],
    "divergence": {"kl_mean": 1.4e-4},
}
KL_WITH_INTERVAL = SAME | {"divergence": {"kl_mean": 1.4e-4, "kl_ci95": [1.1e-4, 1.9e-4]}}
OTHER = SAME | {"findings": [{"cause": "template", "note": False, "observed": "at character 9"}], "divergence": None}


@pytest.mark.parametrize(("record", "line"), [
    (SAME, "Served as measured: llama.cpp b11549, tokens of texts 200 of 200 equal, greedy answers 34 of 35 equal, "
           "KL 1.4e-04 nats a token"),  # of records without the interval
    (KL_WITH_INTERVAL, "Served as measured: llama.cpp b11549, tokens of texts 200 of 200 equal, "
                       "greedy answers 34 of 35 equal, KL 1.4e-04 [1.1e-04 to 1.9e-04] nats a token"),
    (OTHER, "Not served as measured (template): llama.cpp b11549, tokens of texts 200 of 200 equal, "
            "greedy answers 34 of 35 equal"),
])  # fmt: skip
def test_report_and_card_say_how_the_model_was_served(record, line, tmp_path):
    comparison, run = write_card_records(tmp_path)
    assert "erved as measured" not in model_card(run, comparison_folder=comparison)
    (run / "served.json").write_text(json.dumps(record))
    assert served_line(record) == line
    assert line in model_card(run, comparison_folder=comparison).replace("\\", "")
    facts = {one.title: dict(one.pairs) for one in all_facts(read_records(comparison, run))}
    assert facts["Served model"] == {"result": line, **{one["cause"]: one["observed"] for one in record["findings"]}}
