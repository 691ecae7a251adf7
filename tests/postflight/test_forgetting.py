"""Bits per byte of general text before and after a run, on a bounded and repeatable sample."""

import json
import math
from typing import Any

import pytest
import torch

from pipelines.errors import UserError
from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood, condition_token_id
from pipelines.postflight.forgetting import MAX_BYTES, GeneralText, forgetting, general_likelihoods, read_general_text
from tests.postflight.runs import FULL, GENERAL, examined, ids_of, sft, sft_recipe


def test_a_short_file_is_measured_whole(general_text):
    general = read_general_text(str(general_text))
    assert "".join(general.pieces) == GENERAL
    assert general.n_bytes == general.n_bytes_of_file == len(GENERAL)
    assert all(len(piece) >= 1024 for piece in general.pieces[:-1])
    assert all(piece.endswith("\n") for piece in general.pieces)


def test_of_a_long_file_the_same_pieces_are_drawn_each_time_from_all_of_it(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("".join(f"Line {n} of a long file is here.\n\n" for n in range(20_000)))
    general = read_general_text(str(path))
    assert general == read_general_text(str(path))
    assert MAX_BYTES * 0.95 < general.n_bytes <= MAX_BYTES
    numbers = [int(piece.split()[1]) for piece in general.pieces]
    assert numbers == sorted(numbers)
    assert numbers[0] < 2_000
    assert numbers[-1] > 18_000


def test_rows_are_never_joined_and_long_lines_are_cut(tmp_path):
    path = tmp_path / "rows.jsonl"
    texts = ["Eins.\nZwei.", "x" * 5_000, "\u4f60\u597d" * 400]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    general = read_general_text(str(path))
    assert general.pieces[0] == texts[0]
    assert "".join(general.pieces) == "".join(texts)
    assert max(len(piece.encode()) for piece in general.pieces) < 4 * 1024


@pytest.mark.parametrize("content", [None, "", "one line", b"\xff\xfe\x00"])
def test_a_file_that_gives_no_interval_is_refused(tmp_path, content):
    path = tmp_path / "some.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match="general_text"):
        read_general_text(str(path))


@pytest.mark.parametrize("options", [{}, {"load_in_4bit": True}, FULL], ids=["lora", "qlora", "full"])
def test_before_is_the_base_and_after_the_model_that_was_trained(qwen_base, tmp_path, general_text, options):
    trainer: Any = sft(sft_recipe(tmp_path, qwen_base, **options))
    before, found = examined(trainer, general_text)
    facts = found.parts["forgetting"].facts
    general = read_general_text(str(general_text))
    tokenizer = trainer.processing_class

    def bits(model: Any) -> float:
        nats = 0.0
        for piece in general.pieces:
            ids = torch.tensor([[condition_token_id(tokenizer), *tokenizer(piece)["input_ids"]]])
            with torch.no_grad():
                log_p = model(ids).logits[0, :-1].float().log_softmax(-1)
            nats -= float(log_p.gather(1, ids[0, 1:, None]).sum())
        return nats / math.log(2) / general.n_bytes

    model = trainer.model.eval()
    assert facts["after"]["value"] == pytest.approx(bits(model), rel=1e-4)
    if options is not FULL:
        with model.disable_adapter():
            assert facts["before"]["value"] == pytest.approx(bits(model), rel=1e-4)
    assert facts["before"]["value"] != pytest.approx(facts["after"]["value"], rel=1e-3)
    assert facts["relative"]["value"] == pytest.approx(facts["after"]["value"] / facts["before"]["value"] - 1)
    assert (facts["n_pieces"], facts["n_bytes"]) == (len(general.pieces), general.n_bytes)
    assert list(before.likelihoods) != list(general_likelihoods(trainer, general, tokenizer))


def change(factors: list[float]) -> Any:
    before = [DocumentLikelihood(1000.0, 250, 1024) for _ in factors]
    after = [DocumentLikelihood(1000.0 * factor, 250, 1024) for factor in factors]
    general = GeneralText("some.txt", "ab", ("x",) * len(factors), 1024 * len(factors))
    return forgetting(general, before, after)


def test_forgetting_is_a_clear_rise_of_more_than_a_tenth():
    [finding] = change([1.2, 1.25, 1.3, 1.2] * 8).findings
    assert (finding.id, finding.severity.value) == ("FORGOT_GENERAL_TEXT", "warning")
    assert finding.summary.startswith("bits per byte of general text changed by +23.8% [+22.")
    assert not change([1.05, 1.06, 1.04] * 8).findings
    assert not change([0.9] * 20).findings
    assert not change([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.2] * 2).findings, "not certain"


def test_a_run_that_overwrites_the_base_is_told(qwen_base, tmp_path):
    """First the base learns the general text, then that is overwritten."""
    text = tmp_path / "general.txt"
    text.write_text("the cat sat on the mat and the dog sat on the log\n\n" * 60)
    known = [{"text": "the cat sat on the mat and the dog sat on the log\n\n" * 2}] * 8
    first = sft_recipe(tmp_path / "first", qwen_base, rows=known, held_out=(), max_steps=40, learning_rate=5e-3, **FULL)
    _, found = examined(sft(first), text)
    assert found.parts["forgetting"].facts["relative"]["value"] < -0.2
    assert "FORGOT_GENERAL_TEXT" not in ids_of(found)
    other = [{"text": "zzzz 0123456789 " * 8}] * 8
    second = sft_recipe(
        tmp_path / "second", tmp_path / "first" / "run", rows=other, held_out=(), max_steps=30, learning_rate=2e-2
    )
    _, found = examined(sft(second), text)
    assert "FORGOT_GENERAL_TEXT" in ids_of(found)
