"""report.md: the same figures for a pull request."""

import re

from pipelines.report import write_report
from tests.report.samples.hostile_records import write_hostile_records
from tests.report.samples.sample_answers import answer, responses
from tests.report.samples.sample_records import write_records


def test_warnings_then_answers_then_three_lines_then_figures(markdown):
    assert markdown.splitlines()[2] == "> **Warning:** The prompts are of 18 groups: intervals are rough"
    order = [line for line in markdown.splitlines() if line.startswith("## ")]
    assert order[:3] == ["## Side by side", "## Summary", "## Metrics"]
    assert "- **Form:** Stops on its own 2.7% (base) → 99.0%: +" in markdown
    assert "- **What was lost:** Not measured: give --general or --capability." in markdown
    assert "**Reference**" in markdown


def test_every_table_row_has_as_many_cells_as_its_head(markdown):
    widths: list[int] = []
    for line in markdown.splitlines():
        if not line.startswith("|"):
            widths.clear()
            continue
        widths.append(len(re.findall(r"(?<!\\)\|", line)))
        assert widths[-1] == widths[0], line


def test_the_tables_hold_the_records_figures(markdown):
    assert (
        "| response bits per byte (lower is better; n = 148) | 1.213 [1.182, 1.244] | 0.982 [0.954, 1.010] "
        "| −0.232 [−0.256, −0.208] (−19.1% [−21.0, −17.2]) | better, p ≤ 0.0024 |"
    ) in markdown
    assert "| arc\\_easy (version 1, n = 100) | acc (higher is better) | 5-shot | 0.310 ± 0.046 |" in markdown
    assert "sampled" not in markdown, "it is the short report"
    assert len(markdown) < 13_000


def test_categories_are_the_largest_ones_where_there_are_many(tmp_path):
    lines = responses(40)
    for line in lines[1:]:
        line["category"] = f"kind {line['id'] % 9}"
    text = write_report(*write_records(tmp_path, lines))[1].read_text()
    assert "## The 6 largest categories: instruct" in text
    assert "kind 1 (n = 5) |" in text


def test_provenance_names_models_prompts_commit_and_versions(markdown):
    for fact in (
        "- base: recipes/quickstart/base, abababababab…", "- prompts: sha256: 9f9f9f9f9f9f…",
        "- git\\_commit: 1f2e3d4c5b6a",
        "- versions: torch 2.13.0, transformers 5.23.0, trl 1.16.0, peft 0.21.0",
    ):  # fmt: skip
        assert fact in markdown


def test_three_examples_are_chosen_by_rule_find_max_first(markdown):
    titles = re.findall(r"^### Prompt (\d+)(.*)$", markdown, re.MULTILINE)
    assert titles[0] == ("0", "")
    assert titles[1][1].startswith(", instruct better: stops on its own")
    assert len(titles) == 3
    assert "```python\ndef find_max(numbers):\n    return max(numbers)" in markdown


def test_a_worse_answer_is_among_the_examples(tmp_path):
    lines = responses(12)
    lines[9]["answers"]["base"]["greedy"] = answer("fine", parses=True)
    lines[9]["answers"]["instruct"]["greedy"] = answer("broken", stopped=False, parses=False)
    for line in lines[1:9]:
        line["answers"]["base"]["greedy"] = answer("poor", stopped=False, parses=False)
        line["answers"]["instruct"]["greedy"] = answer("fine", parses=True)
    text = write_report(*write_records(tmp_path, lines))[1].read_text()
    assert "### Prompt 9, instruct worse: not: stops on its own, not: parses" in text


def outside_of_fences(text: str) -> tuple[list[str], str | None]:
    """The lines that no fence holds, and the fence that is still open at the end."""
    outside: list[str] = []
    fence: str | None = None
    for line in text.split("\n"):
        opened = re.match("`{3,}", line)
        if fence is None and opened:
            fence = opened[0]
        elif fence is not None and line == fence:
            fence = None
        elif fence is None:
            outside.append(line)
    return outside, fence


def test_no_answer_can_leave_its_fence(tmp_path):
    lines = responses(3)
    attack = "```\n# Not ours\n`````\n<script>alert(1)</script>\n\x00 \u202e"
    for line in lines:
        line["instruction"] = attack
        line["answers"]["instruct"]["greedy"] = answer(attack, parses=False)
    text = write_report(*write_records(tmp_path, lines))[1].read_text()
    outside, fence = outside_of_fences(text)
    assert fence is None
    assert "# Not ours" in text
    assert "# Not ours" not in outside
    assert not [line for line in outside if "script" in line]
    assert "␀ ⟨U+202E⟩" in text


def test_hostile_names_are_text_outside_of_fences_too(tmp_path):
    text = write_report(*write_hostile_records(tmp_path))[1].read_text()
    outside, fence = outside_of_fences(text)
    assert fence is None
    page = "\n".join(line for line in outside)
    assert not re.search(r"<(script|img|svg|h1|style)", page)
    assert not re.search(r"(?<!\\)\[link|!\[x", page)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert len(text) < 60_000


def test_a_long_answer_is_cut_with_a_count(tmp_path):
    lines = responses(3)
    lines[0]["answers"]["instruct"]["greedy"] = answer("word " * 40_000)
    text = write_report(*write_records(tmp_path, lines))[1].read_text()
    assert "198,500 more characters are in responses.jsonl." in text
    assert len(text) < 30_000


def test_it_names_the_records(records, markdown):
    for folder, name in ((records[0], "comparison.json"), (records[0], "responses.jsonl"), (records[1], "run.json")):
        assert f"- `{folder.name}/{name}`" in markdown
        assert str(folder) not in markdown
