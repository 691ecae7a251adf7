"""The report says what the doctor said before the run, and what the run did to the model."""

import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.report import write_report
from pipelines.report.doctor.postflight_results import check_results
from tests.report.conftest import Page
from tests.report.samples.hostile_records import HOSTILE, NAME
from tests.report.samples.sample_check_results import after_run, doctor, finding
from tests.report.samples.sample_records import write_json
from tests.report.samples.sample_run_records import run

WARNING = finding("DUPLICATE_ROWS", "warning", evidence=[{"text": "the row", "row": 7, "split": "train", "tokens": []}])
NOTE = finding("NO_GENERATION_MARKS", "note")


def report_of(few: Path, folder: Path, **keys: Any) -> tuple[Page, str]:
    write_json(folder / "run.json", {**run(), **keys})
    html, markdown = write_report(few, folder)
    return Page(html.read_text(encoding="utf-8")), markdown.read_text(encoding="utf-8")


def test_the_doctor_is_told_with_counts_findings_and_remedies(few, tmp_path):
    page, markdown = report_of(few, tmp_path, doctor=doctor(WARNING, NOTE))
    said = "Before the run the doctor made 58 checks on 10,000 of 27,840 rows of train and 148 rows of held-out: "
    assert f"The doctor's findings {said}1 warning and 1 note." in page.text
    assert re.search("! warning DUPLICATE_ROWS .hat DUPLICATE_ROWS saw row 7 of train the row", page.text)
    assert re.search("What to do .et x: 1", page.text)
    assert "Doctor before the run: 1 warning" in page.text
    assert page.having("a", href="#doctor", **{"class": "warning"})
    assert any("NO_GENERATION_MARKS" in text for text in page.texts["details"]), "notes are folded"
    assert f"## The doctor's findings\n\n{said.replace('-', '-')}1 warning and 1 note." in markdown
    assert "- **warning DUPLICATE\\_ROWS**: What DUPLICATE\\_ROWS saw. Set x: 1." in markdown
    assert page.mistakes == []


def test_a_clean_run_is_called_clean(few, tmp_path):
    page, markdown = report_of(few, tmp_path, doctor=doctor(), after_run=after_run())
    assert "rows of held-out: clean, nothing found." in page.text
    assert "Doctor before the run: clean" in page.text
    assert "Model after the run: clean" in page.text
    assert "No problems were found after the run." in markdown


def test_what_the_run_did_is_told_with_the_records_figures(few, tmp_path):
    page, markdown = report_of(few, tmp_path, after_run=after_run())
    for words in (
        "Adapter 3 of 3 modules changed",
        "Norm of B·A over all modules: 2.73, 1.65% of the base’s weights there",
        "Smallest 1.09 (1.26%), model.layers.0.self_attn.q_proj; largest 2.5 (1.78%), model.layers.0.mlp.up_proj",
        "Norm of the change of model.embed_tokens (token rows): 0.0412",
        "End token Probability 0.0% → 87.1% where held-out answers end",
        "0.0% → 0.4% inside them",
        "From before the run to step 174",
        "Sample answers that stop on their own, from step 30 on: 0.0% → 100.0%",
        "General text 1.052 → 1.064 bits per byte",
        "+1.1% [+0.7, +1.5], paired by piece",
        "63 pieces, 63.6 KiB of data/wikitext.txt",
        "Loss 1.241 on training rows, 1.312 on held-out rows",
        "Gap +0.071",
        "Best held-out loss 1.309 after step 150",
        "The held-out loss was level at the end",
    ):
        assert words in re.sub(r"\s+", " ", page.text), words
    assert "- Adapter: 3 of 3 modules changed (norm of B·A over all modules: 2.73, 1.65%" in markdown
    assert "- Loss: 1.241 on training rows, 1.312 on held-out rows (gap +0.071; best" in markdown


def test_modules_that_did_not_move_are_named(few, tmp_path):
    record = after_run(finding("ADAPTER_DID_NOT_MOVE", "error"))
    names = [f"model.layers.{n}.q_proj" for n in range(14)]
    record["change"] |= {"n_modules": 20, "n_unmoved": 14, "unmoved": names}
    page, _ = report_of(few, tmp_path, after_run=record)
    assert "Adapter 6 of 20 modules changed" in page.text
    assert "Did not change: model.layers.0.q_proj, " in page.text
    assert "model.layers.9.q_proj and 4 more" in page.text
    assert page.having("a", href="#after-run", **{"class": "error"})


def test_full_fine_tuning_has_its_distance(few, tmp_path):
    full = {
        "kind": "full", "norm": 3.1, "relative": 0.00001234, "n_tensors": 290, "n_compared": 145, "n_unmoved": 1,
        "unmoved": ["model.norm.weight"],
    }  # fmt: skip
    page, _ = report_of(few, tmp_path, after_run=after_run(change=full))
    assert "Weights 144 of 145 tensors changed" in page.text
    assert "0.00123% from the base" in page.text
    assert "145 of 290 were compared" in page.text


def test_what_was_not_measured_says_why(few, tmp_path):
    reason = {"reason": "no evaluation"}
    loss = {"train": {"value": 1.5, "n_logs": 1}, "reason": "no evaluation"}
    parts = {"change": reason, "learned_to_stop": reason, "forgetting": reason, "loss": loss}
    page, markdown = report_of(few, tmp_path, after_run=after_run(**parts))
    assert page.text.count("Not measured No evaluation") == 3
    assert "1.500 on training rows at the end" in page.text
    assert "- General text: not measured (no evaluation)" in markdown


def test_without_figures_from_before_the_first_evaluation_stands_in(few, tmp_path):
    record = after_run()
    del record["learned_to_stop"]["before"]
    record["change"]["is_new"] = False
    record["loss"] |= {"course": "rose", "averaged_alike": False}
    page, _ = report_of(few, tmp_path, after_run=record)
    assert "Probability 52.0% → 87.1% where held-out answers end" in page.text
    assert "From step 30 to step 174" in page.text
    assert "Norm of the change of B·A" in page.text
    assert "The held-out loss rose again after that" in page.text
    assert "Packed in one of the two only" in page.text


def test_runs_of_before_the_doctor_and_runs_without_it_have_no_such_section(few, tmp_path):
    page, markdown = report_of(few, tmp_path)
    assert not [have for _, have in page.elements if have.get("href") in ("#doctor", "#after-run")]
    for text in (page.text, markdown):
        assert "the doctor said" not in text
        assert "Checks after the run" not in text
    assert check_results(None) == {"doctor": None, "after_run": None}
    page, _ = report_of(few, tmp_path, doctor=None)
    assert "The doctor's checks were off for this run (doctor: off)." in page.text
    assert "Doctor before the run" not in page.text


def test_errors_that_were_overruled_are_said_to_be(few, tmp_path):
    record = doctor(finding("END_TOKEN_NOT_TRAINED", "error"), mode="warn")
    page, _ = report_of(few, tmp_path, doctor=record)
    assert "1 error. The run was started anyway (doctor: warn)." in page.text


def test_hostile_records_stay_text(few, tmp_path):
    findings = [
        finding(NAME, "warning", summary=text, why=text, remedy=text, fix={NAME: text},
                evidence=[{"text": text, "row": None, "split": NAME, "tokens": [[text[:50], 3, True]]}])
        for text in HOSTILE[:16]
    ]  # fmt: skip
    record = after_run(*findings)
    record["change"] |= {"unmoved": [NAME, *HOSTILE[:8]], "n_unmoved": 9}
    record["change"]["largest"]["module"] = HOSTILE[2]
    record["change"]["others"] = {HOSTILE[1]: {"norm": 1.0, "relative": 0.1}}
    record["forgetting"]["path"] = HOSTILE[0]
    page, markdown = report_of(few, tmp_path, after_run=record, doctor=doctor(*findings))
    assert not {"img", "h5"} & {tag for tag, _ in page.elements}
    assert len(page.texts["script"]) == 1
    assert not [key for _, have in page.elements for key in have if key.startswith("on")]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page.source)
    assert "<script>" not in markdown.replace("\\<", "").split("## Examples")[0]
    assert page.mistakes == []


@pytest.mark.parametrize("key", ["change", "learned_to_stop", "findings"])
def test_a_broken_record_is_refused_in_one_line(few, tmp_path, key):
    record = after_run()
    del record[key]
    with pytest.raises(UserError, match=f"no key '{key}'"):
        report_of(few, tmp_path, after_run=record)
