"""What a model says while it is trained, whether it knows its end, and that nobody notices the question."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import GenerationConfig

from pipelines.inference.teacher_forcing import AnswerRow, end_probabilities, evaluation_mode
from pipelines.training.callbacks.samples import SampleAnswersCallback
from tests.training.callbacks.logged_trainers import LoggedSFTTrainer, logged_trainer, rows_of, tokenizer_of


def sampled_trainer(model_folder: Path, folder: Path, n_prompts: int = 3, **options: Any) -> LoggedSFTTrainer:
    folder.mkdir(exist_ok=True)
    rows = rows_of(tokenizer_of(model_folder), 16)
    trainer = logged_trainer(model_folder, folder, rows=rows, **{"eval_strategy": "steps", "eval_steps": 2, **options})
    tokenizer = trainer.processing_class
    prompts = [tokenizer(f"number {n} is ")["input_ids"] for n in (1, 20, 300)][:n_prompts]
    trainer.add_callback(SampleAnswersCallback(tokenizer, prompts, rows, folder, 8))
    return trainer


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


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


def test_the_answers_of_each_evaluation_are_on_disk_and_in_the_metrics(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = sampled_trainer(tiny_model_folder, tmp_path / "run", learning_rate=0.0)
    trainer.train()
    lines = lines_of(tmp_path / "run")
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
    assert len(lines_of(tmp_path / "run")) == 6  # nothing new was said


def test_the_probability_of_the_end_equals_a_hand_computation(tiny_model_folder: Path, tmp_path: Path) -> None:
    trainer = sampled_trainer(tiny_model_folder, tmp_path / "run")
    trainer.train()
    metrics = trainer.evaluate()
    at_end, inside = hand_probabilities(trainer, rows_of(tokenizer_of(tiny_model_folder), 16))
    assert metrics["eval_p_end"] == pytest.approx(np.mean(at_end), rel=1e-5)
    assert metrics["eval_p_end_inside"] == pytest.approx(np.mean(inside), rel=1e-5)
    assert np.mean(at_end) != pytest.approx(np.mean(inside), rel=1e-3)


def test_a_model_that_learns_to_stop_is_seen_to_stop(tiny_model_folder: Path, tmp_path: Path) -> None:
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


def test_small_batches_give_what_one_batch_gives(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = sampled_trainer(tiny_model_folder, tmp_path / "run")
    rows = [AnswerRow.of(row) for row in rows_of(tokenizer_of(tiny_model_folder), 7)]
    with evaluation_mode(trainer.model), torch.no_grad():
        together = end_probabilities(trainer.model, rows)
        monkeypatch.setattr("pipelines.inference.teacher_forcing._N_LOGITS_AT_ONCE", 2 * 20 * 320)
        apart = end_probabilities(trainer.model, rows)
    assert torch.tensor(together[0]).allclose(torch.tensor(apart[0]), rtol=1e-5)
    assert torch.tensor(together[1]).allclose(torch.tensor(apart[1]), rtol=1e-5)
    assert end_probabilities(trainer.model, []) == ([], [])


def test_an_earlier_turns_end_is_not_inside_and_a_cut_answer_has_no_end(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    trainer = sampled_trainer(tiny_model_folder, tmp_path / "run")
    turns = {"input_ids": [5, 6, 3, 7, 8, 3], "labels": [-100, 6, 3, -100, 8, 3]}
    at_end, inside = end_probabilities(trainer.model, [AnswerRow.of(turns)])
    assert (len(at_end), len(inside)) == (1, 2)
    cut = rows_of(tokenizer_of(tiny_model_folder), 2).map(
        lambda row: {name: row[name][:-1] for name in ("input_ids", "labels")}
    )
    callback = SampleAnswersCallback(trainer.processing_class, [], cut, tmp_path, 8)
    assert callback.measure(trainer, "eval") == {}


def test_a_prompt_that_fills_the_models_positions_is_answered_by_nothing(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    trainer = sampled_trainer(tiny_model_folder, tmp_path / "run")
    callback = SampleAnswersCallback(trainer.processing_class, [[5] * 256], None, tmp_path, 8)
    assert callback.measure(trainer, "eval") == {"eval_stop_rate": 0.0}
    assert lines_of(tmp_path)[0]["answer"] == ""


@pytest.mark.parametrize("options", [{}, {"packing": True, "max_length": 64, "eval_packing": False}])
def test_training_with_samples_ends_in_the_very_weights_of_training_without(
    tiny_model_folder: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Dropout draws from the same random numbers as the samples would."""
    weights = []
    for name in ("with", "without"):
        trainer = sampled_trainer(tiny_model_folder, tmp_path / name, **options)
        if name == "without":
            trainer.remove_callback(SampleAnswersCallback)
        trainer.train()
        trainer.save_model()
        weights.append(load_file(tmp_path / name / "adapter_model.safetensors"))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(tensor.abs().max() > 0 for name, tensor in weights[0].items() if "lora_B" in name)


def test_measuring_leaves_random_states_mode_and_generation_config_alone(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    trainer = sampled_trainer(tiny_model_folder, tmp_path / "run")
    model: Any = trainer.model
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
    trainer.evaluate()
    assert model.generation_config is config


def test_a_resumed_run_does_not_keep_the_answers_of_steps_that_it_repeats(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}
    sampled_trainer(tiny_model_folder, folder, **options).train()
    whole = lines_of(folder)
    sampled_trainer(tiny_model_folder, folder, **options).train(resume_from_checkpoint=str(folder / "checkpoint-2"))
    assert [line["step"] for line in lines_of(folder)] == [2, 2, 2, 4, 4, 4]
    assert lines_of(folder) == whole


def test_logits_that_are_nan_end_no_training(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = sampled_trainer(tiny_model_folder, tmp_path / "run")
    with torch.no_grad():
        trainer.model.get_input_embeddings().weight.fill_(float("nan"))
    callback = SampleAnswersCallback(trainer.processing_class, [[5, 6]], None, tmp_path, 8)
    assert callback.measure(trainer, "eval") == {"eval_stop_rate": 0.0}
    assert "no sample answers: the logits for the next token are NaN" in capsys.readouterr().out
