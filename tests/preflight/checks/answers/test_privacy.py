"""Private data in answers: what is found, what is nobody's, and that no finding shows it."""

import random
from functools import partial

import pytest

from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks.answers.privacy import CHECKS
from pipelines.preflight.run_checks import run_checks
from pipelines.records.finding import Severity
from tests.data_prep.cleaning.made_keys import MAKERS
from tests.preflight.contexts import context_of, findings_by_id, pairs_of, recipe_of, rows_of, with_answers

findings_of = partial(findings_by_id, CHECKS)
KEY = MAKERS["API_KEY"](random.Random(0))


@pytest.mark.parametrize(
    ("answers", "severity", "n_rows"),
    [
        (["Ask karin.vogt@gmx.de."], Severity.NOTE, 1),
        (["Ask karin.vogt@gmx.de.", "Call +49 170 4839201."], Severity.WARNING, 2),
        (["Ask karin.vogt@gmx.de."] * 20, Severity.NOTE, 1),
        (["Pay to DE89370400440532013000."], Severity.WARNING, 1),
    ],
)
def test_personal_data_counts_once_for_each_person(base, tmp_path, answers, severity, n_rows):
    finding = findings_of(context_of(tmp_path, base, with_answers(*answers, n=40)))["PERSONAL_DATA"]
    assert (finding.severity, finding.n_rows) == (severity, n_rows)
    assert not any(part in finding.evidence[0].text for part in ("vogt", "0532"))


def test_what_the_prompt_has_and_what_belongs_to_a_firm_is_not_personal(base, tmp_path):
    rows = with_answers("It is karin.vogt@gmx.de.", "Write to info@kettle.de or jobs@kettle.de.")
    rows[0]["instruction"] = "Which address is in this? karin.vogt@gmx.de"
    assert findings_of(context_of(tmp_path, base, rows)) == {}


def test_a_key_is_found_in_a_chosen_answer_and_not_in_a_rejected_one(base, tmp_path):
    rows = pairs_of(with_answers(f"Use {KEY} here."))
    assert findings_of(context_of(tmp_path / "chosen", base, rows, stage=Stage.DPO))["CREDENTIALS"].n_rows == 1
    rows = pairs_of(rows_of(20), rejected=f"Use {KEY} here.")
    assert findings_of(context_of(tmp_path / "rejected", base, rows, stage=Stage.DPO)) == {}


def test_no_finding_shows_a_key_of_its_rows(base, tmp_path):
    rows = [*with_answers(f"{KEY}<|im_end|> and more text of it") * 2, {"instruction": KEY, "output": ""}]
    report = run_checks(recipe_of(tmp_path, base, rows), Stage.SFT)
    quoting = {finding.id for finding in report.findings if "*" * 8 in " ".join(one.text for one in finding.evidence)}
    assert {"EMPTY_ANSWERS", "TEMPLATE_MARKS_IN_ANSWER"} <= quoting
    assert not any(KEY[place : place + 12] in str(report.to_json()) for place in range(len(KEY) - 12))
