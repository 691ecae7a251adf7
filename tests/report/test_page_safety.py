"""report.html is self-contained, reproducible, of bounded size, and safe with any model output."""

import base64
import hashlib
import re
import subprocess
import sys

import pytest

from pipelines.report import write_report
from pipelines.report.answers import answers
from tests.report.conftest import Page
from tests.report.samples.hostile_records import HOSTILE, NAME, write_hostile_records
from tests.report.samples.sample_answers import responses
from tests.report.samples.sample_records import comparison, write_json, write_records
from tests.report.samples.sample_run_records import run


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("hostile")
    return Page(write_report(*write_hostile_records(folder))[0].read_text(encoding="utf-8"))


def test_every_element_is_closed(page, hostile):
    for one in (page, hostile):
        assert one.mistakes == []
        assert one.open == []


def test_nothing_is_loaded_from_anywhere(page, hostile):
    for one in (page, hostile):
        loading = [have[key] for _, have in one.elements for key in ("src", "href", "srcset", "data") if key in have]
        assert all(str(target).startswith(("#", "data:")) for target in loading), loading
        assert not re.search(r"@import|url\(", "".join(one.texts["style"]))


def test_only_the_pages_own_script_may_run(page, hostile):
    for one in (page, hostile):
        assert len(one.texts["script"]) == 1
        digest = base64.b64encode(hashlib.sha256(one.texts["script"][0].encode()).digest()).decode()
        policy = one.having("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"] or ""
        assert f"script-src 'sha256-{digest}';" in policy
        assert "default-src 'none'" in policy


def test_hostile_text_is_text(hostile):
    assert not {"img", "i"} & {tag for tag, _ in hostile.elements}
    assert len(hostile.texts["h1"]) == 1
    assert not [key for _, have in hostile.elements for key in have if key.startswith("on")]
    codes = hostile.texts["code"]
    for text in HOSTILE[:7]:
        assert sum(code == text for code in codes) >= 6, "instruction, input, reference, and two answers twice"
    assert "nul ␀ escape ␛[2J delete ␡" in codes
    assert "⟨U+202E⟩gnp.exe⟨U+202C⟩ and ⟨U+2067⟩isolated" in codes
    assert "half \ufffd" in codes
    assert "\n\n   first line is empty" in codes, "no white space is lost"
    assert "script>⟨U+202E⟩" in hostile.texts["h1"][0], "of a path the last part"
    assert "<b>path</b>" in hostile.text


def test_hostile_names_and_words_are_text_in_every_place(hostile):
    shown = NAME.replace("\u202e", "⟨U+202E⟩")
    assert f"The judge: {shown}" in hostile.text
    assert sum(shown in text for text in hostile.texts["table"]) >= 6, (
        "measures, categories, benchmarks, judge, overlaps"
    )
    assert any(shown in text for text in hostile.texts["option"])
    assert any(shown in str(have.get("label")) for have in hostile.having("optgroup"))
    assert any(shown in str(have["data-token"]) for tag, have in hostile.elements if "data-token" in have)
    assert any(shown in str(have.get("aria-label")) for have in hostile.having("div", role="img"))
    assert any("alert(1)" in text for text in hostile.texts["ins"])
    tags = {tag for have in hostile.having("details") for tag in str(have.get("data-tags", "")).split()}
    assert all(re.fullmatch(r"[bcfu w]\d+(-\d+)*", tag) for tag in tags), "no name of a record becomes a tag"


def test_control_characters_do_not_reach_the_page(hostile):
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", hostile.source)


def test_a_very_long_answer_is_cut_with_a_count(hostile):
    assert max(len(code) for code in hostile.texts["code"]) <= 4_000
    assert "196,000 more characters are in responses.jsonl." in hostile.text
    assert len(hostile.source) < 500_000


def test_direction_is_isolated(page):
    assert "unicode-bidi: isolate" in page.texts["style"][0]
    assert {have.get("dir") for have in page.having("pre", **{"class": "code"})} == {"ltr"}


def test_boxes_that_may_scroll_are_reached_by_keyboard_and_the_others_are_not(hostile):
    boxes = [have for have in hostile.having("pre") if str(have.get("aria-label", "")).startswith("Answer of")]
    boxes = [have for have in boxes if have.get("role") == "region"]
    assert boxes
    assert all(box["tabindex"] == "0" for box in boxes)
    assert len(boxes) < len(hostile.having("pre")) / 2


def test_no_absolute_path_is_on_the_page(tmp_path):
    lines = responses(3)
    record = comparison(lines)
    record["prompts"]["path"] = "/somewhere/rows"
    record["models"]["base"]["path"], record["models"]["instruct"]["path"] = "/somewhere/a", "/somewhere/b"
    compared, trained = write_records(tmp_path, lines, record)
    write_json(trained / "run.json", run() | {"dataset": {"path": "/somewhere/data"}, "base": {"path": "/somewhere/a"}})
    write_json(
        trained / "lock.json", {"base": {"name_or_path": "/somewhere/a"}, "recipe": {"output_dir": "/somewhere"}}
    )
    for path in write_report(compared, trained):
        assert "/somewhere" not in path.read_text()
        assert str(tmp_path) not in path.read_text()
    assert "Is b better than a?" in path.read_text()


def test_hundreds_of_long_prompts_stay_under_a_few_megabytes(tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "MAX_PAGE_CHARACTERS", answers.MAX_PAGE_CHARACTERS // 4)
    lines = responses(200)
    for line in lines:
        for given in line["answers"].values():
            for one in (given["greedy"], *given["samples"]):
                one["text"] = (one["text"] + "\n") * 12
    compared, trained = write_records(tmp_path, lines)
    html, markdown = write_report(compared, trained)
    assert html.stat().st_size < 8_000_000 / 4
    assert markdown.stat().st_size < 30_000
    assert len(Page(html.read_text()).having("details", **{"class": "prompt"})) == 201


def test_the_same_records_give_the_same_bytes(few):
    before = [path.read_bytes() for path in write_report(few)]
    assert [path.read_bytes() for path in write_report(few)] == before
    assert not [path for path in few.iterdir() if path.name.startswith(".")], "no temporary file is left"


def test_the_report_needs_no_torch():
    code = "import sys, pipelines.report; print(sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
