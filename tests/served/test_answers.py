"""Served answers next to the trained model's where engines write the same tokens as another text."""

import pytest

from pipelines.endpoint.completion import Completion
from pipelines.inference.generation import Answer
from pipelines.inference.loading import load_for_inference
from pipelines.modeling import LoadedModel
from pipelines.served.answers import Kind, Pair, Served, compare_answers, end_tokens
from pipelines.served.distributions import Told


@pytest.fixture(scope="module")
def loaded(taught) -> LoadedModel:
    return load_for_inference(str(taught.merged), dtype="float32")


def compared(loaded: LoadedModel, trained: str, served: str, *, told: str | None = None, ends: bool = True) -> Pair:
    """The pair of two answers; `told` is the text of the tokens that the engine tells, all but the end token."""
    ids = loaded.tokenizer(trained)["input_ids"]
    found = Told([1], loaded.tokenizer(told)["input_ids"], []) if told is not None else None
    completion = Completion(served, "stop" if ends else "length")
    answer = Served.of(completion, found, loaded.tokenizer, end_tokens(loaded))
    [pair] = compare_answers(loaded, [[1]], [Answer(trained, len(ids), True, tuple(ids))], [answer], 64)
    return pair


@pytest.mark.parametrize("served", ["It is so.", "<|im_start|>It is so.\n"])
def test_told_tokens_decide_whatever_the_engine_writes(loaded, served):
    assert compared(loaded, " It is so.\n", served, told=" It is so.\n").kind is Kind.EQUAL


def test_told_tokens_of_another_answer_are_another_answer(loaded):
    pair = compared(loaded, "It is so.", "It is so.", told="It is no.")
    assert (pair.kind, pair.served) == (Kind.OTHER, "It is no.")


def test_a_told_end_token_is_no_part_of_the_text(loaded):
    assert compared(loaded, "It is so.", "It is so.", told="It is so.<|im_end|>").kind is Kind.EQUAL
    assert compared(loaded, "It is", "It is so.", told="It is so.<|im_end|>").kind is Kind.LONGER


@pytest.mark.parametrize(
    ("served", "kind"), [("It \ufffd\ufffd so", Kind.EQUAL), ("It ? so", Kind.EQUAL), ("At \ufffd is", Kind.OTHER)]
)
def test_texts_count_up_to_bytes_that_are_no_character(loaded, served, kind):
    assert compared(loaded, "It \ufffd is", served).kind is kind


@pytest.mark.parametrize(
    ("served", "is_like"),
    [("It is so.", True), ("  It is so.\n", True), ("It is<|pad|> so.", True), ("It is  so.", False)],
)
def test_an_answer_is_like_another_but_for_special_tokens_and_outer_spaces(loaded, served, is_like):
    answer = Served.of(Completion(served), None, loaded.tokenizer, [])
    assert answer.is_like(Answer("It is so.", 4, True, ()), loaded.tokenizer.all_special_tokens) is is_like
