"""What a model says while it is trained, whether it knows its end, and that nobody notices the question."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from pipelines.inference.teacher_forcing import AnswerRow, end_probabilities, evaluation_mode
from pipelines.training.callbacks.samples import SampleAnswersCallback
from tests.run_files import adapter_weights, read_jsonl, same_weights
from tests.training.callbacks.logged_trainers import LoggedSFTTrainer, logged_trainer, rows_of, tokenizer_of


def sampled_trainer(model_folder: Path, folder: Path, **options: Any) -> LoggedSFTTrainer:
    folder.mkdir(exist_ok=True)
    rows = rows_of(tokenizer_of(model_folder), 16)
    trainer = logged_trainer(model_folder, folder, rows=rows, **{"eval_strategy": "steps", "eval_steps": 2, **options})
    tokenizer = trainer.processing_class
    prompts = [tokenizer(f"number {n} is ")["input_ids"] for n in (1, 20, 300)]
    trainer.add_callback(SampleAnswersCallback(tokenizer, prompts, rows, folder, 8))
    return trainer


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return read_jsonl(folder / "samples.jsonl")


@pytest.fixture
def sampled(tiny_model_folder: Path, tmp_path: Path) -> LoggedSFTTrainer:
    return sampled_trainer(tiny_model_folder, tmp_path)


@pytest.fixture
def tokenizer(tiny_model_folder: Path) -> Any:
    return tokenizer_of(tiny_model_folder)


def hand_probabilities(trainer: Any, rows: Any) -> tuple[list[float], list[float]]:
    """Row by row, place by place, with the whole softmax."""
    at_end, inside = [], []
    model = trainer.model.eval()
    for row in rows:
        with torch.no_grad():
            probabilities = model(input_ids=torch.tensor([row["input_ids"]])).logits[0].float().softmax(-1)
        end = row["labels"][-1]
        for place in range(1, len(row["labels"])):
            if row["labels"][place] != -100:
                (at_end if place == len(row["labels"]) - 1 else inside).append(probabilities[place - 1, end].item())
    return at_end, inside


def test_answers_are_on_disk_and_in_the_metrics(tiny_model_folder, tmp_path, capsys):
    trainer = sampled_trainer(tiny_model_folder, tmp_path, learning_rate=0.0)
    trainer.train()
    lines = lines_of(tmp_path)
    assert [line["step"] for line in lines] == [2, 2, 2, 4, 4, 4]
    assert lines[0].keys() == {"step", "prompt", "answer", "stopped"}
    assert [line["prompt"] for line in lines[:3]] == [f"number {n} is " for n in (1, 20, 300)]
    tokenizer: Any = trainer.processing_class
    for line in lines[:3]:  # alone and by plain transformers
        ids = tokenizer(line["prompt"], return_tensors="pt")
        plain = GenerationConfig(max_new_tokens=8, do_sample=False, eos_token_id=[0, 3], pad_token_id=1)
        answer = trainer.model.eval().generate(**ids, generation_config=plain)[0, ids["input_ids"].shape[1] :]
        assert line["answer"] == tokenizer.decode(answer, skip_special_tokens=True)
    said = capsys.readouterr().out
    assert said.count("  cut off: ") + said.count("  stopped: ") == 6
    logged = [log for log in trainer.state.log_history if "eval_loss" in log]
    assert all(log.keys() >= {"eval_p_end", "eval_p_end_inside", "eval_stop_rate"} for log in logged)
    again = trainer.evaluate()
    assert again["eval_stop_rate"] == logged[-1]["eval_stop_rate"]
    assert len(lines_of(tmp_path)) == 6  # nothing new was said


def test_the_probability_of_the_end_equals_a_hand_computation(sampled, tokenizer):
    sampled.train()
    metrics = sampled.evaluate()
    at_end, inside = hand_probabilities(sampled, rows_of(tokenizer, 16))
    assert metrics["eval_p_end"] == pytest.approx(np.mean(at_end), rel=1e-5)
    assert metrics["eval_p_end_inside"] == pytest.approx(np.mean(inside), rel=1e-5)
    assert np.mean(at_end) != pytest.approx(np.mean(inside), rel=1e-3)


def test_a_model_that_learns_to_stop_is_seen_to_stop(tiny_model_folder, tmp_path):
    rows = rows_of(tokenizer_of(tiny_model_folder), 1).select([0] * 16)
    trainer = logged_trainer(tiny_model_folder, tmp_path, rows=rows, lora=False, max_steps=60, logging_steps=60)
    prompt = [token for token, label in zip(rows[0]["input_ids"], rows[0]["labels"], strict=True) if label == -100]
    trainer.add_callback(SampleAnswersCallback(trainer.processing_class, [prompt], rows, tmp_path, 8))
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert (before["eval_stop_rate"], after["eval_stop_rate"]) == (0.0, 1.0)
    assert before["eval_p_end"] < 0.05
    assert after["eval_p_end"] > 0.9
    assert after["eval_p_end_inside"] < 0.1
    assert lines_of(tmp_path)[-1]["answer"] == "x"


def test_small_batches_give_what_one_batch_gives(sampled, tokenizer, monkeypatch):
    rows = [AnswerRow.of(row) for row in rows_of(tokenizer, 7)]
    with evaluation_mode(sampled.model), torch.no_grad():
        together = end_probabilities(sampled.model, rows)
        monkeypatch.setattr("pipelines.inference.teacher_forcing._N_LOGITS_AT_ONCE", 2 * 20 * 320)
        apart = end_probabilities(sampled.model, rows)
    for one, other in zip(together, apart, strict=True):
        assert torch.tensor(one).allclose(torch.tensor(other), rtol=1e-5)
    assert end_probabilities(sampled.model, []) == ([], [])


def test_an_earlier_end_is_not_inside_and_a_cut_answer_has_no_end(sampled, tokenizer, tmp_path):
    turns = {"input_ids": [5, 6, 3, 7, 8, 3], "labels": [-100, 6, 3, -100, 8, 3]}
    at_end, inside = end_probabilities(sampled.model, [AnswerRow.of(turns)])
    assert (len(at_end), len(inside)) == (1, 2)
    cut = rows_of(tokenizer, 2).map(lambda row: {name: row[name][:-1] for name in ("input_ids", "labels")})
    assert SampleAnswersCallback(tokenizer, [], cut, tmp_path, 8).measure(sampled, "eval") == {}


def test_a_prompt_that_fills_the_positions_has_no_answer(sampled, tokenizer, tmp_path):
    callback = SampleAnswersCallback(tokenizer, [[5] * 256], None, tmp_path, 8)
    assert callback.measure(sampled, "eval") == {"eval_stop_rate": 0.0}
    assert lines_of(tmp_path)[0]["answer"] == ""


@pytest.mark.parametrize("options", [{}, {"packing": True, "max_length": 64, "eval_packing": False}])
def test_samples_do_not_change_the_weights(tiny_model_folder, tmp_path, options):
    """Dropout draws from the same random numbers as the samples would."""
    for name in ("with", "without"):
        trainer = sampled_trainer(tiny_model_folder, tmp_path / name, **options)
        if name == "without":
            trainer.remove_callback(SampleAnswersCallback)
        trainer.train()
        trainer.save_model()
    assert same_weights(tmp_path / "with", tmp_path / "without")
    assert any(
        tensor.abs().max() > 0 for name, tensor in adapter_weights(tmp_path / "with").items() if "lora_B" in name
    )


def test_measuring_leaves_random_states_mode_and_generation_config_alone(sampled):
    model: Any = sampled.model
    model.generation_config.repetition_penalty = 5.0
    model.train()
    config = model.generation_config
    before = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())
    with evaluation_mode(model):
        assert not model.training
        torch.rand(3), np.random.rand(3), random.random()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())
    assert model.training
    sampled.evaluate()
    assert model.generation_config is config


def test_a_resumed_run_drops_the_answers_of_steps_that_it_repeats(tiny_model_folder, tmp_path):
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}
    sampled_trainer(tiny_model_folder, tmp_path, **options).train()
    whole = lines_of(tmp_path)
    resumed = sampled_trainer(tiny_model_folder, tmp_path, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert [line["step"] for line in whole] == [2, 2, 2, 4, 4, 4]
    assert lines_of(tmp_path) == whole


def test_logits_that_are_nan_end_no_training(sampled, tokenizer, tmp_path, capsys):
    with torch.no_grad():
        sampled.model.get_input_embeddings().weight.fill_(float("nan"))
    callback = SampleAnswersCallback(tokenizer, [[5, 6]], None, tmp_path, 8)
    assert callback.measure(sampled, "eval") == {"eval_stop_rate": 0.0}
    assert "no sample answers: the logits for the next token are NaN" in capsys.readouterr().out
