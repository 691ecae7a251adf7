"""report.html: whole, self-contained, safe with any model output, and equal to the records."""

import base64
import hashlib
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.report import write_report
from pipelines.report.figures import Unit, difference_text, interval_text, value_text
from pipelines.report.reading import comparison_of
from tests.report.conftest import Page
from tests.report.sample_records import answer, comparison, figure, responses, run, write_json, write_records

HOSTILE = (
    "<script>alert(1)</script>",
    "</code></pre></details></main><h1>mine</h1>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} {% include 'x' %} {# gone #}",
    "</script><script>alert(2)//",
    "<!-- never closed",
    "&lt;b&gt; &amp;",
    "nul \x00 escape \x1b[2J delete \x7f",
    "\u202egnp.exe\u202c and \u2067isolated",
    "half \ud83d",
    "]]> <![CDATA[ <svg onload=alert(1)>",
    "\n\n   first line is empty",
    "x" * 200_000,
)


def hostile_page(folder: Path) -> Page:
    lines = responses(len(HOSTILE), n_samples=1)
    for line, text in zip(lines[1:], HOSTILE, strict=True):
        line |= {"instruction": text, "input": text, "reference": text, "category": text[:50]}
        for given in line["answers"].values():
            given |= {"greedy": answer(text, parses=False), "samples": [answer(text)]}
    compared, trained = write_records(folder, lines)
    record = comparison(lines)
    record["models"]["<script>evil()</script>\u202e"] = record["models"].pop("instruct")
    record["differences"]["<script>evil()</script>\u202e"] = record["differences"].pop("instruct")
    for line in lines:
        line["answers"]["<script>evil()</script>\u202e"] = line["answers"].pop("instruct")
    (compared / "responses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    record["prompts"]["path"] = "<b>path</b>"
    write_json(compared / "comparison.json", record)
    write_json(trained / "run.json", run() | {"recipe": {"<i>key</i>": "<i>value</i>", "nested": {"a": ["<i>"]}}})
    return Page(write_report(compared, trained)[0].read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return hostile_page(tmp_path_factory.mktemp("hostile"))


def test_the_page_opens_with_the_answer(page: Page) -> None:
    assert " ".join(page.texts["h1"][0].split()) == "Is instruct better than base?"
    assert page.text.index("On 148 held-out prompts instruct stops by itself on") < page.text.index("Measures")


def test_every_element_is_closed(page: Page, hostile: Page) -> None:
    for one in (page, hostile):
        assert one.mistakes == []
        assert one.open == []


def test_figures_in_the_page_equal_the_records(page: Page, comparison_record: dict[str, Any]) -> None:
    read = comparison_of(comparison_record)
    instruct = read.others[0]
    for measure in read.measures:
        for model in (read.base, instruct):
            found = model.figures[measure.name]
            assert f"{value_text(found.value, measure.unit)} {interval_text(found, measure.unit)}" in page.text
        assert difference_text(instruct.differences[measure.name].figure, measure.unit) in page.text
    bits = comparison_record["base_prompt_styles"]["chat"]["value"]
    assert f"{value_text(bits, Unit.BITS_PER_BYTE)} [1.362, 1.442] after the chat prompt" in page.text


def test_likelihoods_equal_the_record(page: Page) -> None:
    assert "answers only base chat 1.402 [1.372, 1.432] 7.73 [7.35, 8.12] 148 18,342 61,204" in page.text
    assert "−0.232 [−0.256, −0.208] −19.1% [−21.0, −17.2] ▲ better" in page.text
    assert "= no difference shown" in page.text


def test_the_bars_stand_where_the_figures_are(page: Page, comparison_record: dict[str, Any]) -> None:
    share = comparison_record["models"]["instruct"]["metrics"]["stopped_by_itself"]["value"]
    assert page.having("circle", cx=f"{100 * share:.2f}%")
    assert page.having("rect", width=f"{100 * 0.9816 / 1.5:.2f}%")


def test_nothing_is_loaded_from_anywhere(page: Page, hostile: Page) -> None:
    for one in (page, hostile):
        loading = [have[key] for _, have in one.elements for key in ("src", "href", "srcset", "data") if key in have]
        assert all(str(target).startswith(("#", "data:")) for target in loading), loading
        assert not re.search(r"@import|url\(", "".join(one.texts["style"]))


def test_only_the_pages_own_script_may_run(page: Page, hostile: Page) -> None:
    for one in (page, hostile):
        assert len(one.texts["script"]) == 1
        digest = base64.b64encode(hashlib.sha256(one.texts["script"][0].encode()).digest()).decode()
        policy = one.having("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"] or ""
        assert f"script-src 'sha256-{digest}';" in policy
        assert "default-src 'none'" in policy


def test_hostile_text_is_text(hostile: Page) -> None:
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
    assert "<script>evil()</script>⟨U+202E⟩" in hostile.texts["h1"][0]
    assert "<b>path</b>" in hostile.text


def test_control_characters_do_not_reach_the_page(hostile: Page) -> None:
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", hostile.source)


def test_a_very_long_answer_is_cut_with_a_count(hostile: Page) -> None:
    assert max(len(code) for code in hostile.texts["code"]) <= 4_000
    assert "196,000 more characters are in responses.jsonl." in hostile.text
    assert len(hostile.source) < 300_000


def test_direction_is_isolated(page: Page) -> None:
    assert "unicode-bidi: isolate" in page.texts["style"][0]
    assert {have.get("dir") for have in page.having("pre", **{"class": "code"})} == {"ltr"}


def test_extra_prompts_come_first_and_open(page: Page) -> None:
    prompts = page.having("details", **{"class": "prompt"})
    assert len(prompts) == 149
    assert "open" in prompts[0]
    assert prompts[0]["id"] == "prompt-0"
    assert not any("open" in prompt for prompt in prompts[1:])
    assert (
        page.text.index("Extra prompts")
        < page.text.index("find_max(numbers) that returns")
        < page.text.index("Held-out")
    )


def test_answers_keep_their_white_space(page: Page) -> None:
    assert "def find_max(numbers):\n    return max(numbers)" in [code.rstrip("\n") for code in page.texts["code"]]


def test_filters_count_what_they_show(page: Page) -> None:
    values = {have["value"] for have in page.having("input", name="filter")}
    assert {"", "improved", "unstopped"} <= values
    improved = sum(
        "improved" in str(have["data-tags"]).split() for have in page.having("details", **{"class": "prompt"})
    )
    assert f"instruct improved {improved}" in page.text


def test_words_and_not_only_colours_say_better(page: Page) -> None:
    assert page.text.count("▲ better") >= 11
    assert "≠ changed" in page.text


def test_controls_have_labels_and_headings_do_not_skip(page: Page) -> None:
    assert page.having("label", **{"for": "search"})
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    names = [have["id"] for _, have in page.elements if "id" in have]
    assert len(names) == len(set(names))


def test_boxes_that_may_scroll_are_reached_by_keyboard_and_the_others_are_not(hostile: Page) -> None:
    boxes = [have for have in hostile.having("pre") if str(have.get("aria-label")).startswith("Answer of")]
    assert boxes
    assert all(box["tabindex"] == "0" for box in boxes)
    assert len(boxes) < len(hostile.having("pre")) / 2


def test_what_was_run_is_told(page: Page) -> None:
    for fact in (
        "made 2026-01-05 10:20:30 UTC", "git_commit 1f2e3d4c5b6a", "learning_rate 0.002", "seconds_wall 2 min 43 s",
        "peak_memory_bytes 1.8 GiB", "dropped 83", "tokens lost 60,210", "torch 2.13.0", "seeds.data_seed 42",
        "time: base 1 min 14 s", "Machine of the comparison and of the training", "Whole recipe (15 keys)",
    ):  # fmt: skip
        assert fact in page.text


def test_an_unfinished_run_is_called_unfinished(records: tuple[Path, Path], tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", run() | {"status": "started", "versions": {"torch": "2.12.0"}})
    copied = tmp_path / "compare"
    copied.mkdir()
    for name in ("comparison.json", "responses.jsonl"):
        (copied / name).write_bytes((records[0] / name).read_bytes())
    page = Page(write_report(copied, tmp_path)[0].read_text())
    assert "status started (no record that it finished)" in page.text
    assert "torch 2.13.0 (training: 2.12.0)" in page.text


def test_several_instruct_models_have_a_table_and_a_column_each(records: tuple[Path, Path], tmp_path: Path) -> None:
    record = json.loads((records[0] / "comparison.json").read_text())
    record["models"]["second"] = record["models"]["instruct"]
    record["differences"]["second"] = record["differences"]["instruct"] | {"parses": figure(-0.5, 0.1)}
    write_json(tmp_path / "comparison.json", record)
    (tmp_path / "responses.jsonl").write_bytes((records[0] / "responses.jsonl").read_bytes())
    page = Page(write_report(tmp_path)[0].read_text())
    assert "Are instruct, second better than base?" in page.text
    assert "second against base" in page.text
    assert "instruct: Yes. On 148" in page.text
    assert "second: In part. On 148" in page.text
    assert "No answer on record." in page.text
    assert page.mistakes == []


def test_five_hundred_long_prompts_stay_under_a_few_megabytes(tmp_path: Path) -> None:
    lines = responses(500)
    for line in lines:
        for given in line["answers"].values():
            for one in (given["greedy"], *given["samples"]):
                one["text"] = (one["text"] + "\n") * 12
    compared, trained = write_records(tmp_path, lines)
    html, markdown = write_report(compared, trained)
    assert html.stat().st_size < 8_000_000
    assert markdown.stat().st_size < 30_000
    assert len(Page(html.read_text()).having("details", **{"class": "prompt"})) == 501


def test_the_same_records_give_the_same_bytes(records: tuple[Path, Path]) -> None:
    before = [(records[0] / name).read_bytes() for name in ("report.html", "report.md")]
    assert [path.read_bytes() for path in write_report(*records)] == before
    assert not [path for path in records[0].iterdir() if path.name.startswith(".")], "no temporary file is left"


def test_the_report_needs_no_torch() -> None:
    code = "import sys, pipelines.report; print(sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
