"""What the training programs do with the doctor's answer."""

from typing import Any

import pytest

from pipelines.errors import AnswerIsNo, UserError
from pipelines.preflight.before_training import check_thresholds, run_preflight
from pipelines.preflight.check_context import Stage
from pipelines.recipe.arguments import DataArguments, DoctorMode
from pipelines.training.data.ledger import Ledger, RowFate
from tests.preflight.contexts import recipe_of, rows_of


def whole_ledger(n_kept: int, n_dropped: int) -> Ledger:
    ledger = Ledger()
    for _ in range(n_kept):
        ledger.enter(0, RowFate.KEPT, None, 10, 5, 0, 1)
    for row in range(n_dropped):
        ledger.drop(n_kept + row, 10, "longer_than_max_length")
    return ledger


def said_of_a_sample(n_seen: int) -> dict[str, Any]:
    return {"rows": {"train": {"n_rows": 100, "n_seen": n_seen}}, "findings": [], "n_errors": 0}


def test_an_error_stops_the_run_and_its_name_is_in_the_line(base, tmp_path):
    recipe = recipe_of(tmp_path, base, rows_of(8), eos_token="<|endoftext|>")
    with pytest.raises(AnswerIsNo, match="END_TOKEN_MISMATCH"):
        run_preflight(recipe, Stage.SFT)


def test_the_doctor_that_only_warns_and_the_one_that_is_off_stop_nothing(base, tmp_path):
    keys = {"eos_token": "<|endoftext|>"}
    said = run_preflight(recipe_of(tmp_path, base, rows_of(8), **keys, doctor="warn"), Stage.SFT)
    assert said is not None
    assert (said["mode"], said["n_errors"]) == ("warn", 1)
    assert run_preflight(recipe_of(tmp_path, base, rows_of(8), **keys, doctor="off"), Stage.SFT) is None


def test_a_bare_off_in_yaml_is_no_boolean(base, tmp_path):
    assert recipe_of(tmp_path, base, rows_of(2), doctor=False).arguments[0].doctor is DoctorMode.OFF
    with pytest.raises(UserError, match="expected one of error, warn, off"):
        recipe_of(tmp_path, base, rows_of(2), doctor="loud")


def test_what_is_wanted_and_not_there_is_an_error_of_use(base, tmp_path):
    with pytest.raises(UserError, match="absent"):
        run_preflight(recipe_of(tmp_path, base, rows_of(2), dataset_name=str(tmp_path / "absent")), Stage.SFT)


def test_all_rows_are_held_to_the_gates_where_a_sample_was_seen(capsys):
    said = said_of_a_sample(50)
    with pytest.raises(AnswerIsNo, match="ROWS_DROPPED"):
        check_thresholds(whole_ledger(60, 40), DataArguments(), said, tells=True)
    assert "40 of 100 rows" in capsys.readouterr().err
    assert [finding["id"] for finding in said["findings"]] == ["ROWS_DROPPED"]
    assert said["n_errors"] == 1
    check_thresholds(whole_ledger(60, 40), DataArguments(doctor="warn"), said_of_a_sample(50), tells=False)
    check_thresholds(whole_ledger(60, 40), DataArguments(max_dropped_share=0.4), said_of_a_sample(50), tells=False)


def test_rows_that_were_all_seen_are_not_asked_about_twice():
    check_thresholds(whole_ledger(60, 40), DataArguments(), said_of_a_sample(100), tells=True)
    check_thresholds(whole_ledger(60, 40), DataArguments(), None, tells=True)


def test_a_run_that_will_be_pushed_keeps_no_text_of_rows(base, tmp_path):
    rows = [*rows_of(30), *({"instruction": "Say the secret word.", "output": ""} for _ in range(2))]
    for pushed in (False, True):
        recipe = recipe_of(tmp_path, base, rows, doctor="warn", push_to_hub=pushed)
        said = run_preflight(recipe, Stage.SFT)
        assert said is not None
        [empty] = [finding for finding in said["findings"] if finding["id"] == "EMPTY_ANSWERS"]
        assert [one["row"] for one in empty["evidence"]] == [30, 31]
        assert ("secret word" in str(empty)) is not pushed
