from pathlib import Path

import pytest

from data_prep.cleaning.registry import DATASET_STEPS, ROW_STEPS, default_steps, in_order, read_steps, with_options
from data_prep.dataset_folder import DatasetKind
from pipelines.errors import UserError


def steps_file(tmp_path, text):
    (tmp_path / "steps.yaml").write_text(text)
    return tmp_path / "steps.yaml"


def test_a_steps_file_lists_names_and_options(tmp_path):
    steps = read_steps(
        steps_file(tmp_path, "- empty\n- max_length: {output_chars: 40}\n- near_duplicates: {threshold: 1}")
    )
    assert [step.name for step in steps] == ["empty", "max_length", "near_duplicates"]
    assert steps[1].options.output_chars == 40
    assert steps[2].options.threshold == 1.0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("- emtpy\n", "step 'emtpy'.*did you mean empty"),
        ("- max_length: {output_char: 4}\n", "no option 'output_char'.*did you mean output_chars"),
        ("- max_length: {output_chars: many}\n", "output_chars of max_length .* is 'many', expected a whole number"),
        ("- near_duplicates: {action: keep}\n", "is 'keep', expected reject, group"),
        ("- near_duplicates: {threshold: 7}\n", "threshold is 7.0"),
        ("- exact_duplicates\n- empty\n", "has empty after exact_duplicates; move empty before exact_duplicates"),
        ("- near_duplicates\n- exact_duplicates\n", "has exact_duplicates after near_duplicates"),
        ("- empty\n- empty\n", "names the step empty twice"),
        ("- [empty]\n", "expected a step"),
        ("empty: true\n", "is not a list"),
        ("[]\n", "is an empty list; write at least one entry"),
    ],
)
def test_a_wrong_steps_file_is_refused_in_one_line(tmp_path, text, error):
    with pytest.raises(UserError, match=error):
        read_steps(steps_file(tmp_path, text))


def test_a_flag_changes_a_step_in_place_or_adds_it_after_the_empty_check():
    steps = with_options(default_steps(DatasetKind.INSTRUCTIONS), "max_length", output_chars=30)
    names = [step.name for step in steps]
    assert names.index("max_length") == names.index("empty") + 1
    again = with_options(steps, "max_length", prompt_chars=5)
    assert len(again) == len(steps)
    options = again[names.index("max_length")].options
    assert (options.output_chars, options.prompt_chars) == (30, 5)


def test_the_manual_names_every_step():
    manual = (Path(__file__).parents[3] / "data_prep" / "README.md").read_text("utf-8")
    assert [name for name in (*ROW_STEPS, *DATASET_STEPS) if f"`{name}`" not in manual] == []


@pytest.mark.parametrize("kind", list(DatasetKind))
def test_the_default_steps_are_in_a_valid_order(kind):
    assert in_order(default_steps(kind), "the default steps")
