"""A model that learned to stop raises no finding, one that did not does, and plain text is not asked."""

from typing import Any

import pytest

from pipelines.postflight import run_postflight
from pipelines.postflight.learned_to_stop import MIN_AT_END, ends_before
from tests.postflight.runs import FULL, dpo, dpo_recipe, examined, ids_of, sft, sft_recipe
from tests.preflight.contexts import rows_of

SAME = [{"instruction": "Say x.", "output": "x"}] * 8


def test_a_model_that_learned_to_stop_shows_it_and_is_no_finding(qwen_base, tmp_path):
    recipe = sft_recipe(tmp_path, qwen_base, rows=SAME, held_out=SAME[:4], max_steps=30, eval_steps=15, **FULL)
    trainer = sft(recipe)
    _, found = examined(trainer)
    facts = found.parts["learned_to_stop"].facts
    assert facts["before"]["p_end"] < 0.05 < MIN_AT_END < 0.5 < facts["last"]["p_end"]
    assert (facts["first"]["step"], facts["last"]["step"], facts["before"]["n_rows"]) == (15, 30, 4)
    last = [log for log in trainer.state.log_history if "eval_p_end" in log][-1]
    assert facts["last"]["p_end"] == pytest.approx(last["eval_p_end"], rel=1e-5)
    assert "STOP_NOT_LEARNED" not in ids_of(found)
    assert found.parts["learned_to_stop"].line.startswith("end token: P(end) 0.00")


def test_a_model_that_never_learned_where_an_answer_ends_is_told(qwen_base, tmp_path):
    _, found = examined(sft(sft_recipe(tmp_path, qwen_base)))
    [finding] = [one for one in found.findings if one.id == "STOP_NOT_LEARNED"]
    assert finding.severity.value == "warning"
    assert "num_train_epochs" in finding.remedy


def test_ends_that_are_no_likelier_than_places_inside_are_told(qwen_base, tmp_path):
    trainer = sft(sft_recipe(tmp_path, qwen_base))
    before, _ = examined(trainer)

    def found_with(p_end: float, inside: float, **more: float) -> set[str]:
        trainer.state.log_history.append({"step": 9, "eval_p_end": p_end, "eval_p_end_inside": inside, **more})
        return ids_of(run_postflight(trainer, before))

    assert "STOP_NOT_LEARNED" in found_with(0.3, 0.29)
    assert "STOP_NOT_LEARNED" in found_with(0.09, 0.0)
    assert "STOP_NOT_LEARNED" not in found_with(0.3, 0.02)
    assert "STOP_NOT_LEARNED" not in found_with(0.03, 0.001, eval_stop_rate=1.0), "it stops all the same"
    assert "STOP_NOT_LEARNED" in found_with(0.9, 0.8, eval_stop_rate=1.0), "it stops anywhere"


@pytest.mark.parametrize("columns", [{"text": "{output}"}, {"text": "{instruction} {output}"}])
def test_rows_of_plain_text_are_not_asked_where_they_end(qwen_base, tmp_path, columns):
    rows = [{key: form.format(**row) for key, form in columns.items()} for row in rows_of(12)]
    _, found = examined(sft(sft_recipe(tmp_path, qwen_base, rows=rows[:8], held_out=rows[8:])))
    assert found.parts["learned_to_stop"].facts["last"]["p_end"] < MIN_AT_END
    assert "STOP_NOT_LEARNED" not in ids_of(found)


def test_preference_tuning_is_measured_at_the_chosen_answers(qwen_base, tmp_path):
    _, found = examined(dpo(dpo_recipe(tmp_path, qwen_base)))
    facts = found.parts["learned_to_stop"].facts
    assert facts["before"]["n_rows"] == 4
    [finding] = [one for one in found.findings if one.id == "STOP_NOT_LEARNED"]
    assert "pipelines/sft.py" in finding.remedy


def test_a_run_without_evaluation_says_so(qwen_base, tmp_path):
    trainer: Any = sft(sft_recipe(tmp_path, qwen_base, held_out=()))
    _, found = examined(trainer)
    assert "no evaluation" in found.parts["learned_to_stop"].facts["reason"]
    assert ends_before(trainer) is None
    trainer.callback_handler.callbacks.clear()
    assert ends_before(trainer) is None
