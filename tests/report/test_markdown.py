"""report.md: the same figures for a pull request."""

import re
from pathlib import Path

from pipelines.report import write_report
from tests.report.sample_records import answer, responses, write_records


def test_it_opens_with_the_same_sentence_as_the_page(records: tuple[Path, Path], markdown: str) -> None:
    html = (records[0] / "report.html").read_text()
    sentence = next(line for line in markdown.splitlines() if line.startswith("**Yes.**"))
    plain = sentence.removeprefix("**Yes.** ").replace("\\", "")
    assert plain.startswith("On 148 held-out prompts instruct stops by itself on")
    assert plain in html


def test_every_table_row_has_as_many_cells_as_its_head(markdown: str) -> None:
    widths: list[int] = []
    for line in markdown.splitlines():
        if not line.startswith("|"):
            widths.clear()
            continue
        widths.append(len(re.findall(r"(?<!\\)\|", line)))
        assert widths[-1] == widths[0], line


def test_the_tables_hold_the_records_figures(markdown: str) -> None:
    assert (
        "| response bits per byte (lower is better; n = 148) | 1.213 [1.182, 1.244] | 0.982 [0.954, 1.010] "
        "| −0.232 [−0.256, −0.208] (−19.1% [−21.0, −17.2]) | better |"
    ) in markdown
    assert "| answers only | base | chat | 1.402 [1.372, 1.432] | 7.73 [7.35, 8.12] | 148 | 18,342 |" in markdown
    assert "| stops by itself (sampled) (higher is better; n = 148) |" in markdown


def test_three_examples_are_chosen_by_rule_find_max_first(markdown: str) -> None:
    titles = re.findall(r"^### Prompt (\d+): (.*)$", markdown, re.MULTILINE)
    assert titles[0] == ("0", "improved")
    assert titles[1][1] == "improved"
    assert len(titles) == 3
    assert "```python\ndef find_max(numbers):\n    return max(numbers)" in markdown


def test_a_worse_answer_is_among_the_examples(tmp_path: Path) -> None:
    lines = responses(12)
    lines[9]["answers"]["base"]["greedy"] = answer("fine", parses=True)
    lines[9]["answers"]["instruct"]["greedy"] = answer("broken", stopped=False, parses=False)
    for line in lines[1:9]:
        line["answers"]["instruct"]["greedy"] = answer("fine", parses=True)
    text = write_report(*write_records(tmp_path, lines))[1].read_text()
    assert "### Prompt 9: worse" in text


def test_no_answer_can_leave_its_fence(tmp_path: Path) -> None:
    lines = responses(3)
    attack = "```\n# Not ours\n`````\n<script>alert(1)</script>\n\x00 \u202e"
    for line in lines:
        line["instruction"] = attack
        line["answers"]["instruct"]["greedy"] = answer(attack, parses=False)
    text = write_report(*write_records(tmp_path, lines))[1].read_text()
    outside, fence = [], None
    for line in text.split("\n"):
        opened = re.match("`{3,}", line)
        if fence is None and opened:
            fence = opened[0]
        elif fence is not None and line == fence:
            fence = None
        elif fence is None:
            outside.append(line)
    assert fence is None
    assert "# Not ours" in text
    assert "# Not ours" not in outside
    assert not [line for line in outside if "script" in line]
    assert "␀ ⟨U+202E⟩" in text


def test_a_long_answer_is_cut_with_a_count(tmp_path: Path) -> None:
    lines = responses(3)
    lines[0]["answers"]["instruct"]["greedy"] = answer("word " * 40_000)
    text = write_report(*write_records(tmp_path, lines))[1].read_text()
    assert "198,500 more characters are in responses.jsonl." in text
    assert len(text) < 30_000


def test_it_names_the_records(records: tuple[Path, Path], markdown: str) -> None:
    for folder, name in ((records[0], "comparison.json"), (records[0], "responses.jsonl"), (records[1], "run.json")):
        assert f"- `{(folder / name).as_posix()}`" in markdown
