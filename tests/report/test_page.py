"""report.html is complete and equal to the records."""

import copy
import itertools
import re
import shutil

import pytest

from pipelines.report import write_report
from pipelines.report.charts.paired_chart import paired_charts
from pipelines.report.comparison_record import comparison_of
from pipelines.report.figures import Unit, value_text
from pipelines.report.measures import measure_tables
from tests.report.conftest import Page
from tests.report.samples.sample_answers import responses
from tests.report.samples.sample_records import comparison, write_json, write_lines, write_records
from tests.report.samples.sample_run_records import perplexity, run, trainer_state


def test_warnings_come_first_then_answers_then_three_lines_then_figures(page):
    assert " ".join(page.texts["h1"][0].split()) == "Is instruct better than base?"
    order = [
        "The prompts are of 18 groups: intervals are rough",
        "Chosen by rule:",
        "Reference",
        "Stops on its own 2.7% (base) → 99.0%",
        "Defines the requested name 2.7%",
        "Not measured: give --general or --capability.",
        "Values with 95% intervals.",
    ]
    places = [page.text.index(words) for words in order]
    assert places == sorted(places)


def test_models_have_their_real_names_prompts_and_template(page):
    assert "base base, plain prompts" in page.text
    assert "few-shot base none: rows.jsonl is no dataset folder with a training split" in page.text
    assert "instruct instruct, an adapter on base, prompts in its chat template (sha256 121212121212…)" in page.text


def test_figures_in_the_page_equal_the_records(page, comparison_record):
    read = comparison_of(comparison_record)
    instruct = read.others[0]
    for measure in read.measures:
        for model in (read.base, instruct):
            assert model.figures[measure.name].with_interval in page.text
        assert instruct.differences[measure.name].figure.change in page.text
    bits = comparison_record["base_prompt_styles"]["chat"]["value"]
    assert f"After the chat prompt they are {value_text(bits, Unit.BITS_PER_BYTE)} [1.362, 1.442]." in page.text


def test_likelihoods_equal_the_record(page):
    assert "whole text base – 1.052 [1.022, 1.082] 5.02 [4.77, 5.27] 148 18,342 61,204" in page.text
    assert "−0.232 ▲ better [−0.256, −0.208] −19.1% [−21.0, −17.2] p ≤ 0.0024" in page.text


def test_bits_per_byte_of_one_thing_have_one_figure(page, few, tmp_path):
    assert page.text.count("1.213 [") == page.text.count("0.982 [") == page.text.count("1.402 [") == 1
    assert "answers only base chat see Metrics 7.73 [7.35, 8.12] 148 18,342 61,204" in page.text
    shutil.copytree(few, tmp_path / "other")
    record = perplexity()
    record["dataset"] |= {"sha256": "00" * 32}
    write_json(tmp_path / "other" / "perplexity.json", record)
    other = Page(write_report(tmp_path / "other")[0].read_text())
    assert "answers only base chat 1.402 [1.372, 1.432] 7.73 [7.35, 8.12] 148 18,342 61,204" in other.text


def test_effects_have_the_interval_first_and_the_p_value_after(page, comparison_record):
    found = comparison_record["differences"]["instruct"]["parses"]
    counts = f"{found['n_wins']} won, {found['n_ties']} tied, {found['n_losses']} lost"
    assert re.search(rf"\+7\d\.\d points ▲ better \[[^]]*\] p ≤ 0\.0024 {counts}", page.text)
    assert re.search(r"· no difference shown \[[^]]*\] p = 0\.42", page.text)
    assert re.search(r"≠ changed \[[^]]*\] p ≤ 0\.0024", page.text)
    assert "= no difference shown" not in page.text


def test_measures_stand_in_the_groups_of_the_record(page):
    titles = [" ".join(text.split()) for text in page.texts["th"]]
    order = [title for title in titles if title in ("Stopping and length", "Text of the answer", "Python")]
    assert order == ["Stopping and length", "Text of the answer", "Python"] * 2, "greedy ones, then sampled ones"
    assert "Sampled answers (temperature 0.7, top-p 0.95, 2 for each prompt)" in page.text


def test_differences_are_drawn_around_zero(page):
    bits = page.having("svg", x=f"{50 - 50 * 0.2318 / 0.3:.2f}%")
    assert bits, "the largest end of an interval is 0.256, so the scale ends at 0.3"
    assert len(page.having("line", **{"class": "zero", "x1": "50%"})) == len(
        page.having("td", **{"class": "intervals"})
    )


def test_rows_that_say_little_are_folded(tmp_path):
    lines = responses(40)
    record = comparison(lines)
    for model in record["models"].values():
        model["metrics"]["parses"] |= {"value": 0.0, "ci95": [0.0, 0.1]}
    record["differences"]["instruct"]["repetition"]["n"] = 19
    tables = measure_tables(comparison_of(record))
    folded = [row.label for group in tables.folded for row in group.rows]
    assert folded == ["repetition", "echoes the prompt", "parses"]
    assert not {*folded} & {row.label for group in tables.shown for row in group.rows}
    compared, _ = write_records(tmp_path, lines, record)
    html, markdown = (path.read_text() for path in write_report(compared))
    assert 'id="folded"' in html
    assert "Metrics that are zero for every model, or have fewer than 20 prompts, are in report.html." in markdown


def test_a_further_baseline_has_a_column_and_no_difference(tmp_path):
    lines = responses(25)
    for line in lines:
        line["answers"] = {"base": line["answers"]["base"], "few-shot": line["answers"]["base"],
                           "instruct": line["answers"]["instruct"]}  # fmt: skip
    record = comparison(lines)
    models = record["models"]
    record["models"] = {"base": models["base"], "few-shot": models["base"] | {"role": "few_shot_base"},
                        "instruct": models["instruct"]}  # fmt: skip
    against = copy.deepcopy(record["differences"])
    against["instruct"]["parses"] |= {"value": 0.03, "ci95": [-0.01, 0.07], "verdict": "no difference shown"}
    example = {"id": 3, "text": "Say <b>three</b>.\n\nthree"}
    facts = {"name": "few-shot", "n_examples": 1, "source": "/data/rows", "separator": "\n", "examples": [example]}
    record["few_shot"] = facts
    record["against"] = {"few-shot": {"differences": against, "summary": record["summary"], "sentences": {}}}
    record["differences"]["instruct"]["parses"]["why"] = "the prompts are in too few groups"
    html, markdown = (path.read_text() for path in write_report(*write_records(tmp_path, lines, record)))
    page = Page(html)
    assert "Metric base few-shot instruct Difference" in page.text
    assert "The prompts are in too few groups From few-shot: +3.0 points [−1.0, +7.0], no difference shown" in page.text
    assert page.text.index("few-shot base, plain prompts, after 1 example") < page.text.index(
        "instruct instruct, an adapter on base"
    )
    assert "| Metric | base | few-shot | instruct | difference | instruct is |" in markdown
    assert "Few-shot base n_examples 1 source rows example 3 Say <b>three</b>. three" in page.text
    assert [choice["label"] for choice in page.having("optgroup")] == ["few-shot", "instruct"]
    assert page.mistakes == []


def test_the_difference_of_each_prompt_is_drawn_in_order(page):
    names = [str(have["aria-label"]) for have in page.having("div", role="img")]
    told = next(name for name in names if name.startswith("defines the requested name: difference from base"))
    assert re.search(r"higher on 1\d\d, equal on \d+, lower on \d+ of 148 prompts; median \+100\.0 points", told)
    greedy = {"checks": {}}
    rows = [
        {
            name: {"response_bits_per_byte": bits, "greedy": greedy}
            for name, bits in (("base", 1.0), ("instruct", after))
        }
        for after in (1.5, 0.5, 1.0)
    ]
    rows = [{"counted": True, "answers": answers} for answers in rows]
    rows.append({**rows[0], "counted": False})
    (chart,) = paired_charts(rows, comparison_of(comparison(responses(3))))
    assert [y for _, y in chart.curves[0].points] == pytest.approx([100 * (0.6 + 0.5) / 1.2, 50, 100 * 0.1 / 1.2])
    assert chart.curves[0].note == "higher on 1, equal on 1, lower on 1 of 3 prompts; median 0.000."


def test_earlier_messages_are_folded_above_the_request(tmp_path):
    lines = responses(3)
    call = {"function": {"name": "look", "arguments": {"at": "<b>"}}}
    lines[1]["messages"] = [
        {"role": "system", "content": "Be <i>brief</i>."}, {"role": "user", "content": "First?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "user", "content": lines[1]["instruction"]},
    ]  # fmt: skip
    page = Page(write_report(*write_records(tmp_path, lines))[0].read_text())
    assert "3 earlier messages" in page.text
    assert {"Be <i>brief</i>.", "First?"} <= set(page.texts["code"])
    assert any('"arguments": {"at": "<b>"}' in code for code in page.texts["code"])


def test_sorting_by_length_explains_the_saw_tooth(few, tmp_path, page):
    record = run()
    record["recipe"]["train_sampling_strategy"] = "group_by_length"
    write_json(tmp_path / "run.json", record)
    write_json(tmp_path / "trainer_state.json", trainer_state())
    told = "has a sawtooth shape"
    assert told in write_report(few, tmp_path)[0].read_text()
    assert told not in page.text


def test_charts_have_text_alternatives(page):
    labels = [str(have["aria-label"]) for have in page.having("div", role="img")]
    beginnings = ("Bits per token of", "Share of most likely", "Loss over", "Probability of the end")
    assert [sum(label.startswith(one) for label in labels) for one in beginnings] == [1, 1, 1, 1]
    assert page.text.count("The same figures as a table") == 2
    assert all(
        have.get("aria-hidden") == "true"
        for have in page.having("svg")
        if "height" in have and "x" not in have and "viewbox" not in have
    )


def test_every_section_of_the_record_is_there(page):
    for words in (
        "arc_easy version 1, n = 100", "some-judge at judge.example saw 148 pairs of answers",
        "instruct 3 14 812 return the number of items in the list", "statistics (n = 30)",
        "The first token was predicted from: base: <s>; instruct: nothing, it is not scored.",
        "Step 200, stopped on its own", "limits.memory_bytes 256.0 MiB", "confinement no network, empty folder",
        "wikitext: the base saw no end of text", "reason: the answer is empty 83", "training rows.n 2784",
    ):  # fmt: skip
        assert words in page.text, words


def test_answers_have_their_difference_their_tokens_and_the_judges_reason(page):
    assert any(text.startswith("− ") and "yield" in text for text in page.texts["del"])
    assert any(text.startswith("+ ") and "return" in text for text in page.texts["ins"])
    tokens = page.having("span", role="button")
    assert len(tokens) > 100
    assert sum(have["tabindex"] == "0" for have in tokens) == 6, "one stop of the tab key for each answer"
    assert "“It returns what was asked." not in page.source
    assert "It returns what was asked." in page.texts["q"][0]


def test_extra_prompts_come_first_and_open(page):
    prompts = page.having("details", **{"class": "prompt"})
    assert len(prompts) == 149
    assert "open" in prompts[0]
    assert prompts[0]["id"] == "prompt-0"
    assert not any("open" in prompt for prompt in prompts[1:])
    assert (
        page.text.index("Extra prompts")
        < page.text.rindex("find_max(numbers) that returns")
        < page.text.index("Held-out")
    )


def test_filters_count_what_they_show(page, comparison_record):
    labels = [" ".join(text.split()) for text in page.texts["option"]]
    for metric, label in (("parses", "parses"), ("stopped_by_itself", "stops on its own")):
        for side, ids in comparison_record["flips"]["instruct"][metric].items():
            assert (f"{side}: {label} ({len(ids)})" in labels) == bool(ids)
    assert "statistics (30)" in labels
    tagged = [str(have["data-tags"]).split() for have in page.having("details", **{"class": "prompt"})]
    for have in page.having("option"):
        if have["value"]:
            assert any(have["value"] in tags for tags in tagged)


def test_controls_have_labels_and_headings_do_not_skip(page):
    assert page.having("label", **{"for": "search"})
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    names = [have["id"] for _, have in page.elements if "id" in have]
    assert len(names) == len(set(names))


def test_what_was_run_is_told(page):
    for fact in (
        "made 2026-01-05 10:20:30 UTC", "git_commit 1f2e3d4c5b6a", "learning_rate 0.002", "seconds_wall 2 min 43 s",
        "peak_memory_bytes 1.8 GiB", "dropped 83", "tokens lost 60,210", "torch 2.13.0", "seeds.data_seed 42",
        "time: base 1 min 14 s", "Lock (from run.json)", "base.fingerprint " + "ab" * 32,
        "Machine of the comparison and of the training", "Whole recipe (15 keys)",
    ):  # fmt: skip
        assert fact in page.text


def test_a_lock_is_shown_whole(few, tmp_path):
    write_json(tmp_path / "lock.json", {"packages": {"torch": "2.13.0"}, "base": {"sha256": "ab" * 32}})
    page = Page(write_report(few, tmp_path)[0].read_text())
    assert "Lock (lock.json) packages.torch 2.13.0 base.sha256 " + "ab" * 32 in page.text


def test_an_unfinished_run_is_called_unfinished(few, tmp_path):
    write_json(tmp_path / "run.json", run() | {"status": "started", "versions": {"torch": "2.12.0"}})
    page = Page(write_report(few, tmp_path)[0].read_text())
    assert "status started (no record that it finished)" in page.text
    assert "torch 2.13.0 (training: 2.12.0)" in page.text


def test_several_instruct_models_are_columns_of_one_table(tmp_path):
    lines = responses(25)
    record = comparison(lines, ("instruct",))
    record["models"]["second"] = copy.deepcopy(record["models"]["instruct"]) | {"path": "runs/quickstart/second"}
    record["differences"]["second"] = copy.deepcopy(record["differences"]["instruct"])
    record["differences"]["second"]["parses"] |= {"value": -0.5, "ci95": [-0.6, -0.4], "verdict": "worse"}
    del record["differences"]["second"]["n_tokens"], record["models"]["second"]["metrics"]["n_tokens"]
    record["sentences"]["second"] = "worse on 1 of 2 measures"
    write_json(tmp_path / "comparison.json", record)
    write_lines(tmp_path / "responses.jsonl", lines)
    html, markdown = write_report(tmp_path)
    page = Page(html.read_text())
    assert "Are instruct and second better than base?" in page.text
    assert "second Worse on 1 of 2 measures." in page.text
    assert "Metric base instruct second Difference instruct second" in page.text
    assert "−50.0 points ▼ worse [−60.0, −40.0]" in page.text
    assert "No answer recorded." in page.text
    assert page.mistakes == []
    widths = {line.count("|") for line in markdown.read_text().splitlines() if line.startswith("| parses")}
    assert widths == {9}
