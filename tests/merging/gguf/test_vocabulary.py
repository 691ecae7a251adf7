"""What llama.cpp makes of a tokenizer.json, and what it is refused for."""

import json
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from data_prep.tokenizer_training import TokenizerKind, train
from data_prep.tokenizer_training.pre_tokenizer import LLAMA_CPP_NAME
from pipelines.errors import UserError
from pipelines.merging.gguf.vocabulary import gguf_vocabulary, pieces_and_scores
from tests.merging.gguf.tokenizers import TEXTS, sentencepiece_like

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def content(pre_tokenizer: Any, **model: Any) -> dict[str, Any]:
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizer
    return json.loads(tokenizer.to_str())


def split(regex: str) -> Any:
    parts = [pre_tokenizers.Split(Regex(regex), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    return pre_tokenizers.Sequence(parts)


def test_the_tokenizers_that_this_project_trains_have_the_name_that_it_trains_them_for():
    trained = json.loads(train(TEXTS, TokenizerKind.BPE, 300).to_str())
    assert gguf_vocabulary(trained).pre == LLAMA_CPP_NAME


@pytest.mark.parametrize(
    ("name", "pre_tokenizer", "model"),
    [
        ("gpt-2", pre_tokenizers.ByteLevel(False), {}),
        ("smollm", pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)]), {}),
        ("llama-bpe", split(LLAMA3), {"ignore_merges": True}),
        ("smaug-bpe", split(LLAMA3), {}),  # the same regex, but words are always merged
    ],
)
def test_a_pre_tokenizer_is_known_by_its_whole_definition(name, pre_tokenizer, model):
    assert gguf_vocabulary(content(pre_tokenizer, **model)).pre == name


@pytest.mark.parametrize(
    ("pre_tokenizer", "named"),
    [
        (split(r"\w+|\s"), r"\\w\+\|\\s"),
        (pre_tokenizers.ByteLevel(add_prefix_space=True), "add_prefix_space"),
        (pre_tokenizers.Whitespace(), "Whitespace"),
    ],
)
def test_a_pre_tokenizer_that_llama_cpp_lacks_is_named(pre_tokenizer, named):
    with pytest.raises(UserError, match=f"no pre-tokenizer with the regex of this tokenizer: .*{named}"):
        gguf_vocabulary(content(pre_tokenizer))


@pytest.mark.parametrize(("kind", "named"), [(TokenizerKind.CHAR, "WordLevel"), (TokenizerKind.UNIGRAM, "Unigram")])
def test_tokenizers_of_other_kinds_are_refused_by_name(kind, named):
    trained = train(TEXTS, kind, None if kind is TokenizerKind.CHAR else 300)
    with pytest.raises(UserError, match=f"llama.cpp has no {named} tokenizer"):
        gguf_vocabulary(json.loads(trained.to_str()))


def test_nfc_is_a_note_and_another_normalizer_is_refused():
    qwen = content(pre_tokenizers.ByteLevel(False)) | {"normalizer": {"type": "NFC"}}
    assert gguf_vocabulary(qwen).notes == ("llama.cpp does not normalize to NFC",)
    with pytest.raises(UserError, match="normalizer Lowercase"):
        gguf_vocabulary(qwen | {"normalizer": {"type": "Lowercase"}})


def test_pieces_are_scored_by_the_rank_of_their_first_merge():
    found = sentencepiece_like()
    scores = {text.decode(): (score, kind) for text, score, kind in pieces_and_scores(found, 400)}
    assert scores["▁t"][0] > scores["he"][0] > scores["▁the"][0] > scores["▁a"][0]
    assert [scores[text][1] for text in ("<unk>", "<s>", "<0x0A>", "a")] == ["UNKNOWN", "CONTROL", "BYTE", "NORMAL"]
    assert gguf_vocabulary(found).space_prefix
    assert not gguf_vocabulary(sentencepiece_like(prepends=False)).space_prefix


def test_a_space_that_llama_cpp_cannot_put_is_refused():
    with pytest.raises(UserError, match=r"llama\.cpp before all texts"):
        gguf_vocabulary(sentencepiece_like(scheme="always"))


def test_a_pair_that_only_llama_cpp_merges_is_named():
    found = sentencepiece_like()
    found["model"]["merges"].remove(["▁t", "he"])
    with pytest.raises(UserError, match="merges '▁t' and 'he' to '▁the'"):
        gguf_vocabulary(found)
