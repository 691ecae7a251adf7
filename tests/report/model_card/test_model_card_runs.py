"""What a card says of other kinds of runs, of what they were made from, and of what they are not shown to be."""

import json
import re

import pytest

from pipelines.report.model_card.writing import model_card
from tests.report.samples.sample_card import change_run, lock, manifest, section, unescaped, write_card_records
from tests.report.samples.sample_check_results import doctor, finding
from tests.report.samples.sample_records import write_json
from tests.report.samples.sample_run_records import figure


def test_limits_name_what_got_worse_what_nobody_measured_and_how_little_it_stands_on(tmp_path):
    compared, trained = write_card_records(tmp_path, 20)
    record = json.loads((compared / "comparison.json").read_text())
    record["differences"]["instruct"]["parses"]["verdict"] = "worse"
    record |= {"judge": None, "run_code": None, "details": {}}
    write_json(compared / "comparison.json", record)
    (compared / "benchmark.json").unlink()
    change_run(trained, doctor=None, after_run=None)
    found = section(model_card(trained, comparison_folder=compared), "## Limits")
    assert "- Recipe and rows were not checked before the run (the doctor was off)." in found
    assert re.search(r"- Worse than base: parses, [\d.]+% → [\d.]+% \(\+[\d.]+ points", found)
    assert "- The figures are based on 20 held-out prompts and" in found
    assert (
        "- Not measured: forgetting of general text, loss of other capabilities, whether answers "
        "repeat training rows, a judge's verdict on the answers, whether code in the answers runs, standard "
        "benchmarks and how truthful, fair and safe the answers are."
    ) in found
    assert "- One run with seed 42: the variation between seeds is not measured." in found
    assert "- The base has 5,795,072 parameters; the languages of the rows were not recorded." in found
    assert "- Its base is not on the Hub: you need a copy of it to load this model." in found


def test_a_dataset_folder_that_is_another_one_by_now_is_not_described(tmp_path):
    _, trained = write_card_records(tmp_path, 2)
    write_json(tmp_path / "functions" / "manifest.json", manifest(n_train=2783))
    assert "Splits, rejects and sources were not recorded" in model_card(trained)


@pytest.mark.parametrize(
    ("adapter", "recipe", "told"),
    [
        ({"peft_type": "LORA", "r": 8, "use_dora": True}, {}, "a DoRA adapter of rank 8"),
        ({"peft_type": "LORA", "r": 8, "use_rslora": True}, {}, "a rsLoRA adapter of rank 8"),
        ({"peft_type": "LORA", "r": 8}, {"load_in_4bit": True}, "a QLoRA adapter of rank 8"),
        ({"peft_type": "VERA"}, {}, "a VERA adapter"),
    ],
)
def test_the_kind_of_adapter_is_told(tmp_path, adapter, recipe, told):
    _, trained = write_card_records(tmp_path, 2)
    write_json(trained / "adapter_config.json", adapter)
    change_run(trained, recipe=recipe)
    assert f"sft is {told} on `recipes/quickstart/base`, fine-tuned" in model_card(trained)


def test_a_preference_run_names_the_adapter_that_it_goes_on_from(tmp_path):
    _, trained = write_card_records(tmp_path, 2)
    change_run(trained, program="dpo", adapter={"path": "/srv/runs/first", "fingerprint": "sha256:aa"})
    text = model_card(trained)
    assert "tuned to preferences (DPO) on 2,784 pairs of `functions`, continued from the adapter `first`." in text
    assert "> **License unknown:** none was recorded for adapter first." in text


def test_what_an_earlier_adapter_was_trained_on_counts_for_the_license(tmp_path):
    _, trained = write_card_records(tmp_path, 2)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, before, license in ((first, None, "cc-by-nc-4.0"), (second, first, "mit")):
        folder.mkdir()
        train = lock()["datasets"][0] | {"licenses": [{"source": f"rows of {folder.name}", "license": license}]}
        adapter = before and {"name_or_path": str(before), "fingerprint": "sha256:aa"}
        write_json(folder / "lock.json", lock(datasets=[train], adapter=adapter))
    change_run(trained, program="dpo", adapter={"path": str(second), "fingerprint": "sha256:bb"})
    text = model_card(trained)
    assert "> **Not for commercial use:** cc-by-nc-4.0 (rows of first)." in text
    assert "\nlicense: cc-by-nc-4.0\n" in text
    assert "continued from the adapter `second`." in text


def test_sources_without_a_license_are_said_beside_those_that_have_one(tmp_path):
    _, trained = write_card_records(tmp_path, 2)
    packages = [{"name": "click", "version": "8.5.1"}, {"name": "mystery", "version": "0.1"}]
    sources = [{"name": "packages", "distributions": packages}, {"name": "my_rows.jsonl", "sha256": "aa"}]
    write_json(tmp_path / "functions" / "manifest.json", manifest() | {"sources": sources})
    text = model_card(trained)
    assert "> **License unknown:** none was recorded for dataset mystery 0.1 and dataset my\\_rows.jsonl." in text
    train = lock()["datasets"][0]
    write_json(
        trained / "lock.json", lock(datasets=[train | {"licenses": [{"source": train["path"], "license": "mit"}]}])
    )
    assert "License unknown" not in model_card(trained), "the folder's own card speaks for all of it"
    parts = [{"path": "org/rows", "revision": "ab"}, {"path": "/srv/my_rows.jsonl", "revision": None}]
    mixture = train | {"path": "org/rows + /srv/my_rows.jsonl", "parts": parts,
                       "licenses": [{"source": "org/rows", "license": "mit"}]}  # fmt: skip
    write_json(trained / "lock.json", lock(datasets=[mixture]))
    change_run(trained, dataset={"path": mixture["path"], "n_rows": 5})
    text = model_card(trained)
    assert "> **License unknown:** none was recorded for dataset my\\_rows.jsonl." in text
    assert "on 5 rows of `org/rows + my_rows.jsonl`." in text


def test_a_preference_run_shows_its_held_out_pairs_before_and_after(tmp_path):
    accuracy = {"before": figure(0.537, 0.08, 147), "after": figure(0.748, 0.07, 147),
                "difference": figure(0.211, 0.068, 147)}  # fmt: skip
    reward = {"before": {"value": None}, "after": figure(0.871, 0.05, 147), "chance": 0.5,
              "difference_from_chance": figure(0.371, 0.05, 147)}  # fmt: skip
    pairs = {"n_pairs": 147, "beta": 0.1, "likelihood_accuracy": accuracy, "reward_accuracy": reward}
    _, trained = write_card_records(tmp_path, 2)
    change_run(trained, program="dpo", metrics={"held_out_pairs": pairs})
    text = unescaped(section(model_card(trained), "## Training"))
    assert (
        "| the chosen answer is the more likely one (n = 147) | 53.7% [45.7, 61.7] | 74.8% [67.8, 81.8] "
        "| +21.1 points [+14.3, +27.9] |"
    ) in text
    assert (
        "| reward accuracy (n = 147) | chance 50.0% | 87.1% [82.1, 92.1] | +37.1 points over chance [+32.1, +42.1] |"
    ) in text


def test_a_pretraining_shows_bits_per_byte_with_a_before_where_there_was_a_model(tmp_path):
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


def test_a_full_model_needs_no_base_and_a_run_against_the_doctor_says_so(tmp_path):
    _, trained = write_card_records(tmp_path, 2)
    assert "PEFT loads it from the path in `adapter_config.json`" in model_card(trained)
    (trained / "adapter_config.json").unlink()
    change_run(trained, doctor=doctor(finding("A", "error"), mode="warn"))
    text = model_card(trained)
    assert "sft is a full model made from `recipes/quickstart/base`, fine-tuned (SFT) on" in text
    assert "adapter_config" not in text
    assert "not on the Hub" not in text
    assert "- The run was started despite 1 error that the doctor found." in text
