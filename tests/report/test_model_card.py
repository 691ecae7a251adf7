"""README.md of a model: what it says, that each figure is a record's, and that what is missing is said."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.errors import UserError
from pipelines.report.model_card import model_card
from tests.report.sample_card import change_run, lock, manifest, write_card_records
from tests.report.sample_examinations import doctor, finding
from tests.report.sample_records import SENTENCE, write_json
from tests.report.sample_run_records import figure, trainer_state
from tests.report.test_markdown import outside_of_fences


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A comparison folder and a run folder with every record."""
    return write_card_records(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def card(folders: tuple[Path, Path]) -> str:
    """The card of `folders`, with its base on the Hub."""
    return model_card(folders[1], comparison_folder=folders[0], repo_id="me/my-model", base_model="org/base")


def section(card: str, title: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    level = title.split(" ")[0]
    _, found, rest = card.partition(f"\n{title}\n")
    assert found, title
    return re.split(rf"\n#{{1,{len(level)}}} ", rest)[0]


def unescaped(text: str) -> str:
    """Markdown as it is shown, as far as brackets go."""
    return re.sub(r"\\([\[\]])", r"\1", text)


def test_it_says_in_two_sentences_what_it_is_and_what_it_is_worth(card: str) -> None:
    opening = section(card, "# my-model").strip().split("\n\n")[0]
    assert opening.split("\n") == [
        "my-model is a LoRA adapter of rank 32 on [org/base](https://huggingface.co/org/base), fine-tuned (SFT) on "
        "2,784 rows of `functions`.",
        f"Compared with base on held-out prompts, by 95% intervals: {SENTENCE}.",
    ]


def test_the_table_has_both_values_the_paired_difference_and_the_verdict_of_each_measure(
    card: str, folders: tuple[Path, Path]
) -> None:
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
        assert f"| {difference['verdict']}, p = " in row


def test_every_table_row_has_as_many_cells_as_its_head(card: str) -> None:
    outside, fence = outside_of_fences(card)
    assert fence is None
    widths: list[int] = []
    for line in outside:
        widths = [*widths, len(re.findall(r"(?<!\\)\|", line))] if line.startswith("|") else []
        assert not widths or widths[-1] == widths[0], line


def test_answers_of_both_are_shown_and_a_long_one_is_cut_with_a_mark(card: str) -> None:
    answers = section(card, "## Answers of both")
    assert answers.count("**Prompt**") == 3
    assert answers.count("**base**") == answers.count("**instruct**") == 3
    assert "```python\ndef find_max(numbers):\n    return max(numbers)" in answers
    fenced = re.findall(r"```(?:python|text)\n(.*?)\n```", answers, re.DOTALL)
    cut = [re.fullmatch(r"(.*)\n\[… [\d,]+ more characters\]", text, re.DOTALL) for text in fenced]
    assert [found for found in cut if found]
    assert {len(found[1]) for found in cut if found} == {600}
    assert max(len(text) for text, found in zip(fenced, cut, strict=True) if not found) <= 600


def test_the_data_are_told_with_splits_rejects_sources_and_licences(card: str) -> None:
    data = section(card, "## Data")
    for line in (
        "| train | 2,784 | 310 |", "| test | 148 | 18 |", "| no docstring | 9,702 |", "| duplicate | 83 |",
        f"- functions, sha256 {'8a' * 32}, 3,072 rows", "| dropped | 83 |", "| reason: the answer is empty | 83 |",
        "| apache-2.0 | base org/base |", "| BSD-3-Clause | click 8.5.1 |",
        "Made with `python data_prep/build_instructions.py --source functions --output functions`",
    ):  # fmt: skip
        assert line in data
    assert "Proposed for this model: `apache-2.0`." in data


def test_the_curve_has_held_out_losses_at_steps_of_the_log(card: str) -> None:
    training = section(card, "## Training")
    history = trainer_state()["log_history"]
    losses = {row["step"]: row["eval_loss"] for row in history if "eval_loss" in row}
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+)% \|$", training, re.MULTILINE)
    assert [int(step) for step, *_ in rows] == sorted(losses)
    assert [held_out for _, _, held_out, _ in rows] == [f"{losses[step]:.3f}" for step in sorted(losses)]
    line = re.search(r"to the last: `([▁▂▃▄▅▆▇█]+)`", training)
    assert line
    assert line[1][0] == "█"
    assert 20 < len(line[1]) <= 40


def test_the_cost_is_the_runs(card: str) -> None:
    for line in (
        "| time of the whole run | 2 min 43 s |", "| tokens trained on, without padding | 412,345 |",
        "| tokens per second | 2,527 |", "| peak memory | 1.8 GiB |", "| energy | not measured |",
        "| device | no accelerator; 2 cores of Some CPU &#8203;@ 2.20GHz |".replace("&#8203;@", "@"),
    ):  # fmt: skip
        assert line in card


def test_energy_is_told_where_it_was_measured(tmp_path: Path) -> None:
    _, trained = write_card_records(tmp_path, 2)
    change_run(trained, energy_joules=7_200_000.0)
    assert "| energy | 2 kWh |" in model_card(trained)
    change_run(trained, energy_joules=1_800.0)
    assert "| energy | 0.5 Wh |" in model_card(trained)


def test_the_examinations_before_and_after_the_run_are_told(card: str) -> None:
    assert "- note TRAIN\\_EVAL\\_OVERLAP: 2 of 169 rows overlap." in section(card, "### Before the run")
    after = section(card, "### After the run")
    assert "- Adapter: 3 of 3 modules moved" in after
    assert "- General text: 1.052 → 1.064 bits per byte" in after


def test_limits_name_what_got_worse_what_nobody_measured_and_how_little_it_stands_on(tmp_path: Path) -> None:
    compared, trained = write_card_records(tmp_path, 20)
    record = json.loads((compared / "comparison.json").read_text())
    record["differences"]["instruct"]["parses"]["verdict"] = "worse"
    record |= {"judge": None, "run_code": None, "details": {}}
    write_json(compared / "comparison.json", record)
    (compared / "benchmark.json").unlink()
    change_run(trained, doctor=None, after_run=None)
    found = section(model_card(trained, comparison_folder=compared), "## Limits")
    assert "- Nobody looked at recipe and rows before the run (the doctor was off)." in found
    assert re.search(r"- Worse than base: parses, [\d.]+% → [\d.]+% \(\+[\d.]+ points", found)
    assert "- The figures rest on 20 held-out prompts, so few that the intervals are rough and on" in found
    assert (
        "- Not measured: what was forgotten of general text, what was lost of other capabilities, whether answers "
        "repeat training rows, what a judge thinks of the answers, whether code in the answers runs, standard "
        "benchmarks and how truthful, fair and safe the answers are."
    ) in found
    assert "- One run with seed 42: how far another seed would lead is not measured." in found
    assert "- The base has 5,795,072 parameters; the languages of the rows are not on record." in found
    assert "- Its base is not on the Hub: whoever loads this model needs a copy of it." in found


def test_what_was_measured_is_not_among_the_limits(card: str) -> None:
    found = section(card, "## Limits")
    assert (
        "- Not measured: what was lost of other capabilities and how truthful, fair and safe the answers are." in found
    )
    assert (
        "- It forgot some of what its base knew of general text: 1.052 → 1.064 bits per byte, +1.1% \\[+0.7, +1.5\\]."
        in found
    )
    assert "not on the Hub" not in found


def test_the_recipe_that_makes_it_again_is_the_runs_but_for_paths(card: str) -> None:
    again = section(card, "## Make it again")
    recipe = yaml.safe_load(again.split("```yaml\n")[1].split("\n```")[0])
    assert recipe == lock()["recipe"]
    assert "```bash\npython pipelines/sft.py --config recipe.yaml\n```" in again
    assert "`python pipelines/reproduce.py lock.json`" in again


def test_the_lock_is_folded_with_whole_hashes_and_without_the_diff(card: str) -> None:
    folded = card.split("<details><summary>Lock</summary>")[1].split("</details>")[0]
    for line in (
        f"| result.weights\\_sha256 | sha256:{'78' * 32} |", f"| datasets.1.fingerprint | sha256:{'ef' * 32} |",
        "| versions.trl | 1.16.0 |", "| seeds.seed | 42 |", f"| git.diff\\_sha256 | {'56' * 32} |",
    ):  # fmt: skip
        assert line in folded
    assert "secret_plan" not in card
    assert "loss_curve" not in card.replace("\\", "")


def test_no_absolute_path_is_on_the_card(tmp_path: Path) -> None:
    compared, trained = write_card_records(tmp_path, 2)
    here = {"model_name_or_path": "/home/somebody/models/base", "dataset_name": "/srv/data/functions"}
    change_run(trained, recipe=here, base={"path": "/home/somebody/models/base", "fingerprint": "ab"})
    write_json(trained / "lock.json", lock(base={"name_or_path": "/home/somebody/models/base", "license": "mit"}))
    text = model_card(trained, comparison_folder=compared)
    assert not re.search(r"/(home|srv|tmp|root)/", text)
    assert "model_name_or_path: base\ndataset_name: functions" in text


def test_without_a_comparison_it_has_no_results_and_says_how_to_get_them(folders: tuple[Path, Path]) -> None:
    text = model_card(folders[1], repo_id="me/my-model")
    assert "model-index" not in text
    assert "How it compares with its base is not measured." in text
    assert "python pipelines/compare.py --base BASE --instruct RUN_FOLDER" in text
    assert "It is not known whether it is better than its base: it has not been compared." in text
    assert "## Answers of both" not in text


def test_a_run_with_nothing_but_its_record_has_a_card_that_says_so(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"kind": "run", "program": "sft", "status": "started"})
    text = model_card(tmp_path)
    for sentence in (
        "The run has no record that it finished.", "Splits, rejects and sources are not on record",
        "The course of the loss is not on record.", "| time of the whole run | not measured |",
        "| device | not measured |", "The model has a size that is not on record",
    ):  # fmt: skip
        assert sentence in text
    assert section(text, "### After the run").strip() == "Not measured."
    assert "reproduce.py" not in text


def test_a_dataset_folder_that_is_another_one_by_now_is_not_described(tmp_path: Path) -> None:
    _, trained = write_card_records(tmp_path, 2)
    write_json(tmp_path / "functions" / "manifest.json", manifest(n_train=2783))
    assert "Splits, rejects and sources are not on record" in model_card(trained)


@pytest.mark.parametrize(
    ("adapter", "recipe", "told"),
    [
        ({"peft_type": "LORA", "r": 8, "use_dora": True}, {}, "a DoRA adapter of rank 8"),
        ({"peft_type": "LORA", "r": 8, "use_rslora": True}, {}, "a rsLoRA adapter of rank 8"),
        ({"peft_type": "LORA", "r": 8}, {"load_in_4bit": True}, "a QLoRA adapter of rank 8"),
        ({"peft_type": "VERA"}, {}, "a VERA adapter"),
    ],
)
def test_the_kind_of_adapter_is_told(tmp_path: Path, adapter: Any, recipe: Any, told: str) -> None:
    _, trained = write_card_records(tmp_path, 2)
    write_json(trained / "adapter_config.json", adapter)
    change_run(trained, recipe=recipe)
    assert f"sft is {told} on `recipes/quickstart/base`, fine-tuned" in model_card(trained)


def test_a_preference_run_names_the_adapter_that_it_goes_on_from(tmp_path: Path) -> None:
    _, trained = write_card_records(tmp_path, 2)
    change_run(trained, program="dpo", adapter={"path": "/srv/runs/first", "fingerprint": "sha256:aa"})
    text = model_card(trained)
    assert "tuned to preferences (DPO) on 2,784 pairs of `functions`, going on from the adapter `first`." in text
    assert "> **Licence unknown:** none is on record for adapter first." in text


def test_what_an_earlier_adapter_was_trained_on_counts_for_the_licence(tmp_path: Path) -> None:
    _, trained = write_card_records(tmp_path, 2)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, before, license in ((first, None, "cc-by-nc-4.0"), (second, first, "mit")):
        folder.mkdir()
        train = lock()["datasets"][0] | {"licenses": [{"source": f"rows of {folder.name}", "license": license}]}
        adapter = before and {"name_or_path": str(before), "fingerprint": "sha256:aa"}
        write_json(folder / "lock.json", lock(datasets=[train], adapter=adapter))
    change_run(trained, program="dpo", adapter={"path": str(second), "fingerprint": "sha256:bb"})
    text = model_card(trained)
    assert "> **Not for commercial use:** cc-by-nc-4.0 (rows of first) forbids it." in text
    assert "\nlicense: cc-by-nc-4.0\n" in text
    assert "going on from the adapter `second`." in text


def test_sources_without_a_licence_are_said_beside_those_that_have_one(tmp_path: Path) -> None:
    _, trained = write_card_records(tmp_path, 2)
    packages = [{"name": "click", "version": "8.5.1"}, {"name": "mystery", "version": "0.1"}]
    sources = [{"name": "packages", "distributions": packages}, {"name": "my_rows.jsonl", "sha256": "aa"}]
    write_json(tmp_path / "functions" / "manifest.json", manifest() | {"sources": sources})
    text = model_card(trained)
    assert "> **Licence unknown:** none is on record for dataset mystery 0.1 and dataset my\\_rows.jsonl." in text
    train = lock()["datasets"][0]
    write_json(
        trained / "lock.json", lock(datasets=[train | {"licenses": [{"source": train["path"], "license": "mit"}]}])
    )
    assert "Licence unknown" not in model_card(trained), "the folder's own card speaks for all of it"
    parts = [{"path": "org/rows", "revision": "ab"}, {"path": "/srv/my_rows.jsonl", "revision": None}]
    mixture = train | {"path": "org/rows + /srv/my_rows.jsonl", "parts": parts,
                       "licenses": [{"source": "org/rows", "license": "mit"}]}  # fmt: skip
    write_json(trained / "lock.json", lock(datasets=[mixture]))
    change_run(trained, dataset={"path": mixture["path"], "n_rows": 5})
    text = model_card(trained)
    assert "> **Licence unknown:** none is on record for dataset my\\_rows.jsonl." in text
    assert "on 5 rows of `org/rows + my_rows.jsonl`." in text


def test_a_run_folder_that_was_moved_is_known_by_its_name(tmp_path: Path) -> None:
    compared, trained = write_card_records(tmp_path, 2)
    (tmp_path / "elsewhere").mkdir()
    moved = trained.rename(tmp_path / "elsewhere" / "sft")
    assert "Compared with base" in model_card(moved, comparison_folder=compared)
    trained.mkdir()
    with pytest.raises(UserError, match="compare this run"):
        model_card(moved, comparison_folder=compared)


def test_a_preference_run_shows_its_held_out_pairs_before_and_after(tmp_path: Path) -> None:
    accuracy = {"before": figure(0.537, 0.08, 147), "after": figure(0.748, 0.07, 147),
                "difference": figure(0.211, 0.068, 147)}  # fmt: skip
    reward = {"before": {"value": None}, "after": figure(0.871, 0.05, 147), "chance": 0.5,
              "difference_from_chance": figure(0.371, 0.05, 147)}  # fmt: skip
    pairs = {"n_pairs": 147, "beta": 0.1, "likelihood_accuracy": accuracy, "reward_accuracy": reward}
    _, trained = write_card_records(tmp_path, 2)
    change_run(trained, program="dpo", metrics={"held_out_pairs": pairs})
    text = unescaped(section(model_card(trained), "## Training"))
    assert (
        "| the chosen answer is the likelier one (n = 147) | 53.7% [45.7, 61.7] | 74.8% [67.8, 81.8] "
        "| +21.1 points [+14.3, +27.9] |"
    ) in text
    assert (
        "| reward accuracy (n = 147) | chance 50.0% | 87.1% [82.1, 92.1] | +37.1 points over chance [+32.1, +42.1] |"
    ) in text


def test_a_pretraining_shows_bits_per_byte_with_a_before_where_there_was_a_model(tmp_path: Path) -> None:
    _, trained = write_card_records(tmp_path, 2)
    bits = {"corpus": {"after": figure(0.9, 0.1, 306)}}
    change_run(
        trained, program="pretrain", base={"path": None, "fingerprint": None}, metrics={"held_out_bits_per_byte": bits}
    )
    (trained / "adapter_config.json").unlink()
    (trained / "lock.json").unlink()
    text = model_card(trained)
    assert "sft is a full model, pretrained on 2,784 rows of `functions`." in text
    text = unescaped(text)
    assert "| bits per byte, corpus (n = 306) | – | 0.900 [0.800, 1.000] | – |" in text
    assert "- The model has 5,795,072 parameters" in text
    bits["corpus"] |= {"before": figure(1.0, 0.1, 306), "relative": figure(-0.1, 0.02, 306)}
    change_run(trained, metrics={"held_out_bits_per_byte": bits})
    assert "| 1.000 [0.900, 1.100] | 0.900 [0.800, 1.000] | −10.0% [−12.0, −8.0] |" in unescaped(model_card(trained))


def test_a_full_model_needs_no_base_and_a_run_against_the_doctor_says_so(tmp_path: Path) -> None:
    _, trained = write_card_records(tmp_path, 2)
    assert "it has to lie where `adapter_config.json` names it" in model_card(trained)
    (trained / "adapter_config.json").unlink()
    change_run(trained, doctor=doctor(finding("A", "error"), mode="warn"))
    text = model_card(trained)
    assert "sft is a full model made from `recipes/quickstart/base`, fine-tuned (SFT) on" in text
    assert "adapter_config" not in text
    assert "not on the Hub" not in text
    assert "- The run was made against 1 error that the doctor found before it." in text


def test_the_report_of_another_run_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", json.loads((folders[1] / "run.json").read_text()))
    with pytest.raises(UserError, match=r"among the models of .*comparison.json; got .*sft; compare this run"):
        model_card(tmp_path, comparison_folder=folders[0])


def test_broken_records_and_names_are_one_line_errors(tmp_path: Path) -> None:
    _, trained = write_card_records(tmp_path, 2)
    with pytest.raises(UserError, match="expected base_model to be the Hub id of the base"):
        model_card(trained, base_model="../base")
    write_json(trained / "ledger.json", {"reasons": [1]})
    with pytest.raises(UserError, match=r"expected a whole record in .*sft"):
        model_card(trained)
    with pytest.raises(UserError, match=r"expected the record run\.json"):
        model_card(tmp_path)
