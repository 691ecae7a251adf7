"""README.md of a model: what it says, that each figure is a record's, and that what is missing is said."""

import json
import re
from pathlib import Path

import pytest
import yaml

from pipelines.errors import UserError
from pipelines.report.model_card.writing import model_card
from tests.report.samples.sample_card import change_run, lock, section, unescaped, write_card_records
from tests.report.samples.sample_records import write_json
from tests.report.samples.sample_run_records import trainer_state
from tests.report.test_markdown import outside_of_fences


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A comparison folder and a run folder with every record."""
    return write_card_records(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def card(folders: tuple[Path, Path]) -> str:
    """The card of `folders`, with its base on the Hub."""
    return model_card(folders[1], comparison_folder=folders[0], repo_id="me/my-model", base_model="org/base")


def test_it_says_in_two_sentences_what_it_is_and_what_it_is_worth(card, folders):
    lines = json.loads((folders[0] / "comparison.json").read_text())["summary"]["instruct"].values()
    told = "; ".join(line["text"] for line in lines).replace("->", "→").replace("<=", "≤")
    opening = section(card, "# my-model").strip().split("\n\n")[0]
    assert unescaped(opening).split("\n") == [
        "my-model is a LoRA adapter of rank 32 on [org/base](https://huggingface.co/org/base), fine-tuned (SFT) on "
        "2,784 rows of `functions`.",
        f"Compared with base on held-out prompts, with 95% intervals: {told}.",
    ]


def test_the_table_has_both_values_the_paired_difference_and_the_verdict_of_each_measure(card, folders):
    record = json.loads((folders[0] / "comparison.json").read_text())
    rows = [line for line in section(card, "## Is it better than its base?").split("\n") if "; n = " in line]
    greedy = [name for name, words in record["metric_definitions"].items() if words["decoding"] != "sampled"]
    assert len(rows) == len(greedy)
    for name in greedy:
        label, unit = (record["metric_definitions"][name][key] for key in ("label", "unit"))
        row = next(row for row in rows if row.startswith(f"| {label} ("))
        of_models = [record["models"][model]["metrics"][name] for model in ("base", "instruct")]
        difference = record["differences"]["instruct"][name]
        figures = [number for one in (*of_models, difference) for number in (one["value"], *one["ci95"])]
        factor = 100 if unit == "share" else 1
        shown = [float(number) for number in re.findall(r"[-+]?\d+\.\d+", row.split(") |", 1)[1].replace("−", "-"))]
        assert shown[:9] == pytest.approx([factor * number for number in figures], abs=0.051), name
        assert f"| {difference['verdict']}, p {'≤' if difference['p_at_floor'] else '='} " in row


def test_every_table_row_has_as_many_cells_as_its_head(card):
    outside, fence = outside_of_fences(card)
    assert fence is None
    widths: list[int] = []
    for line in outside:
        widths = [*widths, len(re.findall(r"(?<!\\)\|", line))] if line.startswith("|") else []
        assert not widths or widths[-1] == widths[0], line


def test_answers_of_both_are_shown_and_a_long_one_is_cut_with_a_mark(card):
    answers = section(card, "## Answers side by side")
    assert answers.count("**Prompt**") == 3
    assert answers.count("**base**") == answers.count("**instruct**") == 3
    assert "```python\ndef find_max(numbers):\n    return max(numbers)" in answers
    fenced = re.findall(r"```(?:python|text)\n(.*?)\n```", answers, re.DOTALL)
    cut = [re.fullmatch(r"(.*)\n\[… [\d,]+ more characters\]", text, re.DOTALL) for text in fenced]
    assert [found for found in cut if found]
    assert {len(found[1]) for found in cut if found} == {600}
    assert max(len(text) for text, found in zip(fenced, cut, strict=True) if not found) <= 600


def test_the_data_are_told_with_splits_rejects_sources_and_licenses(card):
    data = section(card, "## Data")
    for line in (
        "| train | 2,784 | 310 |", "| test | 148 | 18 |", "| no docstring | 9,702 |", "| duplicate | 83 |",
        f"- functions, sha256 {'8a' * 32}, 3,072 rows", "| dropped | 83 |", "| reason: the answer is empty | 83 |",
        "| apache-2.0 | base org/base |", "| BSD-3-Clause | click 8.5.1 |",
        "Made with `python data_prep/build_instructions.py --source 'functions' --output=functions`",
    ):  # fmt: skip
        assert line in data
    assert "Proposed for this model: `apache-2.0`." in data


def test_the_curve_has_held_out_losses_at_steps_of_the_log(card):
    training = section(card, "## Training")
    history = trainer_state()["log_history"]
    losses = {row["step"]: row["eval_loss"] for row in history if "eval_loss" in row}
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+)% \|$", training, re.MULTILINE)
    assert [int(step) for step, *_ in rows] == sorted(losses)
    assert [held_out for _, _, held_out, _ in rows] == [f"{losses[step]:.3f}" for step in sorted(losses)]


def test_the_cost_is_the_runs(card):
    for line in (
        "| time of the whole run | 2 min 43 s |", "| tokens trained on, without padding | 412,345 |",
        "| tokens per second | 2,527 |", "| peak memory | 1.8 GiB |",
        "| device | no accelerator; 2 cores of Some CPU &#8203;@ 2.20GHz |".replace("&#8203;@", "@"),
    ):  # fmt: skip
        assert line in card


def test_the_examinations_before_and_after_the_run_are_told(card):
    assert "- note TRAIN\\_EVAL\\_OVERLAP: 2 of 169 rows overlap." in section(card, "### Before the run")
    after = section(card, "### After the run")
    assert "- Adapter: 3 of 3 modules changed" in after
    assert "- General text: 1.052 → 1.064 bits per byte" in after


def test_what_was_measured_is_not_among_the_limits(card):
    found = section(card, "## Limits")
    assert "- Not measured: loss of other capabilities and how truthful, fair and safe the answers are." in found
    assert "(forgetting): 1.052 → 1.064 bits per byte, +1.1% \\[+0.7, +1.5\\]." in found
    assert "not on the Hub" not in found


def test_the_recipe_that_makes_it_again_is_the_runs_but_for_paths(card):
    again = section(card, "## Reproduce")
    recipe = yaml.safe_load(again.split("```yaml\n")[1].split("\n```")[0])
    assert recipe == lock()["recipe"]
    assert "```bash\npython pipelines/sft.py --config recipe.yaml\n```" in again
    assert "`python pipelines/reproduce.py lock.json`" in again


def test_the_lock_is_folded_with_whole_hashes_and_without_the_diff(card):
    folded = card.split("<details><summary>Lock</summary>")[1].split("</details>")[0]
    for line in (
        f"| result.weights\\_sha256 | sha256:{'78' * 32} |", f"| datasets.1.fingerprint | sha256:{'ef' * 32} |",
        "| versions.trl | 1.16.0 |", "| seeds.seed | 42 |", f"| git.diff\\_sha256 | {'56' * 32} |",
    ):  # fmt: skip
        assert line in folded
    assert "secret_plan" not in card
    assert "loss_curve" not in card.replace("\\", "")


def test_no_absolute_path_is_on_the_card(tmp_path):
    compared, trained = write_card_records(tmp_path, 2)
    here = {"model_name_or_path": "/home/somebody/models/base", "dataset_name": "/srv/data/functions"}
    change_run(trained, recipe=here, base={"path": "/home/somebody/models/base", "fingerprint": "ab"})
    write_json(trained / "lock.json", lock(base={"name_or_path": "/home/somebody/models/base", "license": "mit"}))
    text = model_card(trained, comparison_folder=compared)
    assert not re.search(r"/(home|srv|tmp|root)/", text)
    assert "model_name_or_path: base\ndataset_name: functions" in text


def test_without_a_comparison_it_has_no_results_and_says_how_to_get_them(folders):
    text = model_card(folders[1], repo_id="me/my-model")
    assert "model-index" not in text
    assert "It was not compared with its base." in text
    assert "python pipelines/compare.py --base BASE --instruct RUN_FOLDER" in text
    assert "It has not been compared with its base." in text
    assert "## Answers side by side" not in text


def test_a_run_with_nothing_but_its_record_has_a_card_that_says_so(tmp_path):
    write_json(tmp_path / "run.json", {"kind": "run", "program": "sft", "status": "started"})
    text = model_card(tmp_path)
    for sentence in (
        "There is no record that the run finished.", "Splits, rejects and sources were not recorded",
        "The loss curve was not recorded.", "| time of the whole run | not measured |",
        "| device | not measured |", "The model has a size that was not recorded",
    ):  # fmt: skip
        assert sentence in text
    assert section(text, "### After the run").strip() == "Not measured."
    assert "reproduce.py" not in text


def test_a_run_folder_that_was_moved_is_known_by_its_name(tmp_path):
    compared, trained = write_card_records(tmp_path, 2)
    (tmp_path / "elsewhere").mkdir()
    moved = trained.rename(tmp_path / "elsewhere" / "sft")
    assert "Compared with base" in model_card(moved, comparison_folder=compared)
    trained.mkdir()
    with pytest.raises(UserError, match="compare this run"):
        model_card(moved, comparison_folder=compared)


def test_the_report_of_another_run_is_refused(folders, tmp_path):
    write_json(tmp_path / "run.json", json.loads((folders[1] / "run.json").read_text()))
    with pytest.raises(UserError, match=r"not among the models of .*comparison.json: .*sft; compare this run"):
        model_card(tmp_path, comparison_folder=folders[0])


def test_broken_records_and_names_are_one_line_errors(tmp_path):
    _, trained = write_card_records(tmp_path, 2)
    with pytest.raises(UserError, match="expected a Hub id such as org/name"):
        model_card(trained, base_model="../base")
    write_json(trained / "ledger.json", {"reasons": [1]})
    with pytest.raises(UserError, match=r"sft is broken"):
        model_card(trained)
    with pytest.raises(UserError, match=r"there is no run\.json"):
        model_card(tmp_path)
