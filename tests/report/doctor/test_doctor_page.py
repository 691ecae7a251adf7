"""The doctor's page: everything of the record is on it, and no text of a row becomes part of it."""

import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.report import write_diagnosis_page
from pipelines.report.doctor.findings import MAX_EXCERPT_CHARACTERS, findings_section, findings_sentence, token_view
from tests.report.conftest import Page
from tests.report.samples.hostile_records import HOSTILE
from tests.report.samples.sample_diagnosis import clean_diagnosis, diagnosis, example, finding, hostile_diagnosis, row


def rendered(folder: Path, record: dict[str, Any]) -> Page:
    path = folder / "out" / "doctor.html"
    write_diagnosis_page(path, record)
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return rendered(tmp_path_factory.mktemp("page"), diagnosis())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return rendered(tmp_path_factory.mktemp("hostile"), hostile_diagnosis())


def test_it_opens_with_what_was_found_and_what_was_looked_at(page):
    assert "What would go wrong in recipes/quickstart/sft/lora.yaml?" in page.text
    assert "2 errors, 1 warning and 1 note. Do not train with this recipe yet" in page.text
    assert "Training rows checked 10,000 of 52,002 a sample; --all for every one" in page.text
    assert "Held-out rows checked 500 of 500 Checks 41" in page.text


def test_a_finding_has_severity_evidence_reason_remedy_and_fix(page):
    for part in (
        "✗ error END_TOKEN_NOT_TRAINED 13 of 400 rows have no end token in the loss.",
        "row 17 of train",
        "ends without it",
        "learning_rate: 1",
        "Why it matters A model that never sees",
        "What to do Set eos_token: <|im_end|> and leave old out",
        "doctor.py --fix --write applies this.",
    ):
        assert part in page.text
    assert [text for text in page.texts["ins"] if text] == [
        "eos_token: <|im_end|>",
        "max_length: 2048",
        "packing: false",
    ]
    assert page.texts["del"] == ["old"]
    assert [one["id"] for one in page.having("li") if "finding" in (one.get("class") or "")] == [
        "END_TOKEN_NOT_TRAINED", "TEMPLATE_DROPS_TEXT", "ANSWERS_CUT", "NO_GENERATION_MARKS",
    ]  # fmt: skip


def test_tokens_are_classed_by_role_and_tell_their_id(page):
    tokens = [one for one in page.having("span") if (one.get("class") or "").startswith("token ")]
    of_row = tokens[4:12]
    assert [str(one["class"]).removeprefix("token ") for one in of_row] == [
        "is-begin", "is-prompt", "is-prompt", "is-answer trained", "is-answer trained", "is-end trained", "is-cut",
        "is-end",
    ]  # fmt: skip
    assert of_row[2]["data-token"] == "⏎⏎\tid 3 · prompt, not in the loss"
    assert of_row[4]["data-token"] == "··answer→\tid 5 · answer, in the loss"
    assert of_row[6]["data-token"] == "·gone\tid 7 · truncated"
    assert [str(one["tabindex"]) for one in of_row] == ["0", *["-1"] * 7], "one stop for the tab key, arrows go on"


def test_rows_tell_counts_fate_and_what_is_left_out(page):
    assert "Row 0 of train 1,819 tokens, 3 in the loss, 1 cut off kept" in page.text
    assert "1,812 tokens" in page.text
    assert "Chosen 1,819 tokens" in page.text
    assert "Row 2 of train all 2,301 tokens left out dropped: longer than max length" in page.text
    assert "Row 3 of train no tokens dropped: empty output No tokens: this row could not be read." in page.text


def test_a_clean_recipe_says_so_and_has_no_findings(tmp_path):
    clean = rendered(tmp_path, clean_diagnosis())
    assert "Nothing found. The run can start." in clean.text
    assert "Findings" not in clean.texts.get("h2", [])


def test_a_page_without_rows_has_no_place_for_them(tmp_path):
    assert "What the model reads" not in rendered(tmp_path, diagnosis(shown_rows=[])).text


def test_the_page_is_whole_and_asks_for_nothing(page, hostile):
    for one in (page, hostile):
        assert one.mistakes == []
        assert one.open == []
        [policy] = one.having("meta", **{"http-equiv": "Content-Security-Policy"})
        assert str(policy["content"]).startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
        assert len(one.having("script")) == 1
        assert not re.search(r"(src|href)=\"(?!#|data:,)", one.source)


def test_hostile_text_is_text(hostile):
    assert not hostile.having("img")
    assert not hostile.having("svg")
    assert "<script>alert(1)</script>" in hostile.text
    assert "{{ 7 * 7 }} {% include 'x' %}" in hostile.text
    assert "⟨U+202E⟩" in hostile.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", hostile.source)
    assert not [name for _, attributes in hostile.elements for name in attributes if name.startswith("on")]


def test_two_findings_of_one_id_have_places_of_their_own(tmp_path):
    page = rendered(tmp_path, diagnosis(findings=[finding(), finding(summary="Again.")]))
    assert [one["id"] for one in page.having("li") if one.get("id")] == [
        "END_TOKEN_NOT_TRAINED", "END_TOKEN_NOT_TRAINED-2",
    ]  # fmt: skip


def test_long_text_is_cut_and_counted(tmp_path):
    evidence = {"text": "y" * 100_000, "row": 1, "split": "train", "tokens": [["z" * 100_000, 1, True]]}
    tokens = [["w" * 100_000, 1, True, "answer"]]
    record = diagnosis(
        findings=[finding(evidence=[evidence])], shown_rows=[row(0, "kept", None, example(tokens=tokens))]
    )
    page = rendered(tmp_path, record)
    assert f"{100_000 - MAX_EXCERPT_CHARACTERS:,} more characters" in page.text
    assert "⟨99,920 more characters⟩" in page.text
    assert len(page.source) < 60_000


def test_the_section_is_made_of_run_jsons_record_too():
    record = {"mode": "error", **{key: value for key, value in diagnosis().items() if key != "shown_rows"}}
    found = findings_section(record)
    assert findings_sentence(found) == "2 errors, 1 warning and 1 note"
    assert findings_sentence([]) == "nothing found"
    assert [is_code for _, is_code in found[0].remedy] == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("set it", "Set it"), ("learning_rate is high", "learning_rate is high"), ("13 of 9", "13 of 9")],
)
def test_a_sentence_begins_with_a_capital_but_a_key_stays(text, shown):
    assert findings_section({"findings": [finding(summary=text)]})[0].summary[0][0] == shown


@pytest.mark.parametrize(
    "broken", [{"findings": None}, {"findings": [{}]}, {"findings": [finding(severity="worse")]}, {}]
)
def test_a_broken_record_is_told_by_an_error(broken):
    with pytest.raises((KeyError, TypeError, ValueError)):
        findings_section(broken)


def test_spaces_of_a_token_stay_spaces_and_what_has_no_width_is_named():
    assert list(token_view("  a b\n", 1, True, "answer").parts) == [
        ("  ", "space"), ("a", ""), (" ", "space"), ("b", ""), ("⏎\n", "mark"),
    ]  # fmt: skip
    assert token_view("\u200d", 1, False, "prompt").details.startswith("⟨U+200D⟩\t")
    assert all("\t" not in token_view(text, 1, True, "answer").details.split("\t", 1)[0] for text in HOSTILE)
