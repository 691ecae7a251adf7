import json
import random
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen2Tokenizer

from data_prep.tokenizer_training import (
    SPECIAL_TOKENS,
    TokenizerKind,
    bytes_per_token,
    read_tokenizer_corpus,
    save_tokenizer,
    tokenizer_config,
    train,
    training,
)
from pipelines.errors import UserError

CODE = '''
class Stack:
    """A stack."""

    def push(self, item):
        # no limit
        if item is not None:
            self.items.append(item)
        return len(self.items) + 12

    def pop(self):
        return self.items.pop()
'''
TEXTS = [CODE.replace("Stack", f"Stack{number}") for number in range(30)]
ODD_TEXTS = [
    "",
    " ",
    "   x",
    "a  b\t\n\n  c  ",
    "é e\u0301 ẞ İ 中文 🏳️\u200d🌈 \ufeff",
    "\x00\x01\x7f\x85",
    "don't . , ! ?  ' s n't",
    "\r\n x \r",
    "x = 12345  # c\n\tif a:\n        return 3.14\n",
    "\u2028\u2029\u00a0\u3000 a",
    "<|im_start|>user\nHi<|im_end|>",
    "<s> </s> [UNK] ▁ Ġ Ċ ##a",
]


def loaded(tmp_path: Path, kind: TokenizerKind, texts: list[str], vocab_size: int | None) -> PreTrainedTokenizerBase:
    save_tokenizer(train(texts, kind, vocab_size), tmp_path / kind.value, {"kind": "tokenizer"})
    return AutoTokenizer.from_pretrained(tmp_path / kind.value)


@pytest.mark.parametrize("kind", [TokenizerKind.BPE, TokenizerKind.UNIGRAM])
def test_byte_level_tokenizers_give_back_any_text_exactly(tmp_path, kind):
    tokenizer = loaded(tmp_path, kind, TEXTS, 400)
    draw = random.Random(0)
    ranges = [*range(0x20), *range(0x250), *range(0x4E00, 0x4F00), *range(0x1F600, 0x1F640), *range(0x2000, 0x2070)]
    noise = ["".join(chr(draw.choice(ranges)) for _ in range(100)) for _ in range(100)]
    for text in [*ODD_TEXTS, *noise, CODE]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_character_tokenizer_has_one_token_for_each_character(tmp_path):
    tokenizer = loaded(tmp_path, TokenizerKind.CHAR, ["hello\r\n wörld 🌍\u2028"], None)
    assert len(tokenizer) == len(set("hello\r\n wörld 🌍\u2028")) + len(SPECIAL_TOKENS) + 1
    text = "  world,\r\nöl 🌍\u2028".replace(",", "")
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(text)) == len(text)
    assert tokenizer.decode(tokenizer.encode("he?")) == "he<|unk|>"


@pytest.mark.parametrize("kind", TokenizerKind)
def test_auto_tokenizer_finds_a_base_models_special_tokens(tmp_path, kind):
    tokenizer = loaded(tmp_path, kind, TEXTS, None if kind is TokenizerKind.CHAR else 320)
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token) == ("<|endoftext|>", "<|pad|>", None)
    assert tokenizer.chat_template is None
    assert set(SPECIAL_TOKENS) <= set(tokenizer.all_special_tokens)
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [0, 1, 2, 3]
    assert tokenizer("a")["input_ids"] == tokenizer("a", add_special_tokens=False)["input_ids"]
    turn = tokenizer.encode("<|im_start|>a<|im_end|><|endoftext|>")
    assert (turn[0], turn[-2:]) == (2, [3, 0])
    assert tokenizer.decode(turn, skip_special_tokens=True) == "a"
    assert "token_type_ids" not in tokenizer("a")


@pytest.mark.parametrize("kind", [TokenizerKind.BPE, TokenizerKind.UNIGRAM])
def test_the_vocabulary_keeps_to_the_size_asked_for_and_holds_all_bytes(kind):
    tokenizer = train(TEXTS, kind, 330)
    # unigram keeps fewer where fewer pieces explain the text as well
    assert tokenizer.get_vocab_size() == 330 or kind is TokenizerKind.UNIGRAM
    assert 260 <= tokenizer.get_vocab_size() <= 330
    everything = bytes(range(256)).decode("latin-1") + "\U0010ffff\u07ff"
    assert tokenizer.decode(tokenizer.encode(everything).ids) == everything


def test_code_is_cut_where_code_has_joints():
    tokenizer = train(TEXTS, TokenizerKind.BPE, 600)

    def pieces(text: str) -> list[str]:
        return [tokenizer.decode([token], skip_special_tokens=False) for token in tokenizer.encode(text).ids]

    assert pieces("    return") == ["   ", " return"]
    assert pieces("\n        return len(self.items)")[:4] == ["\n", "       ", " return", " len"]
    assert pieces("12") == ["1", "2"]
    assert pieces("self.items.append") == ["self", ".items", ".append"]


def test_text_is_split_as_qwen2_splits_it_and_never_normalized():
    """llama.cpp has this pre-tokenizer under a name; it normalizes nothing."""
    ours = json.loads(train(TEXTS, TokenizerKind.BPE, 300).to_str())
    qwen2 = json.loads(Qwen2Tokenizer().backend_tokenizer.to_str())
    assert ours["pre_tokenizer"]["pretokenizers"][0] == qwen2["pre_tokenizer"]["pretokenizers"][0]
    assert ours["normalizer"] is None


@pytest.mark.parametrize("kind", [TokenizerKind.BPE, TokenizerKind.UNIGRAM])
def test_every_training_gives_the_same_tokenizer(kind):
    trained = [train([*TEXTS, *ODD_TEXTS], kind, 500) for _ in range(4)]
    assert len({tokenizer.to_str() for tokenizer in trained}) == 1
    special = [trained[0].id_to_token(number) for number in range(len(SPECIAL_TOKENS))]
    assert special == list(SPECIAL_TOKENS)


def test_a_unigram_tokenizer_in_fixed_order_cuts_as_the_library_s_own(monkeypatch):
    fixed = train(TEXTS, TokenizerKind.UNIGRAM, 500)
    monkeypatch.setattr(training, "_in_fixed_order", lambda tokenizer: tokenizer)
    own = train(TEXTS, TokenizerKind.UNIGRAM, 500)
    assert [fixed.encode(text).tokens for text in TEXTS] == [own.encode(text).tokens for text in TEXTS]


@pytest.mark.parametrize("vocab_size", [1, 259])
def test_a_vocabulary_without_room_for_all_bytes_is_refused(vocab_size):
    with pytest.raises(UserError, match=f"--vocab_size is {vocab_size}, expected at least 260"):
        train(TEXTS, TokenizerKind.BPE, vocab_size)


def test_a_character_tokenizer_takes_no_vocabulary_size():
    with pytest.raises(UserError, match="--vocab_size 300 with --kind char"):
        train(TEXTS, TokenizerKind.CHAR, 300)


def test_bytes_per_token_counts_utf8_bytes():
    assert bytes_per_token(train(["aé"], TokenizerKind.CHAR, None), ["aé", "é"]) == pytest.approx(5 / 3)


def test_the_record_is_written_and_files_are_never_overwritten_unasked(tmp_path):
    tokenizer = train(TEXTS, TokenizerKind.BPE, 300)
    record: dict[str, Any] = {"kind": "tokenizer"}
    save_tokenizer(tokenizer, tmp_path / "out", record)
    assert json.loads((tmp_path / "out" / "tokenizer_record.json").read_text()) == record
    with pytest.raises(UserError, match="is not empty"):
        save_tokenizer(tokenizer, tmp_path / "out", record)
    save_tokenizer(tokenizer, tmp_path / "out", record, overwrite=True)
    assert tokenizer_config(tokenizer)["clean_up_tokenization_spaces"] is False


def test_a_text_file_is_trained_on_whole_and_measured_on_its_end(tmp_path):
    (tmp_path / "a.txt").write_text("a" * 95 + "b" * 5)
    corpus = read_tokenizer_corpus(tmp_path / "a.txt")
    assert corpus.train == ["a" * 95 + "b" * 5]
    assert corpus.held_out == ["bbbbb"]


def test_a_corpus_must_be_text_or_a_corpus_folder(tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(UserError, match=r"empty\.txt has no text"):
        read_tokenizer_corpus(tmp_path / "empty.txt")
    with pytest.raises(UserError, match="make a corpus of it"):
        read_tokenizer_corpus(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        read_tokenizer_corpus(tmp_path / "nowhere.txt")


def test_tiny_shakespeare_has_65_characters(shared_data, tmp_path):
    corpus = read_tokenizer_corpus(shared_data / "tinyshakespeare" / "input.txt")
    tokenizer = loaded(tmp_path, TokenizerKind.CHAR, corpus.train, None)
    assert len(tokenizer) == 65 + len(SPECIAL_TOKENS) + 1
    assert tokenizer.decode(tokenizer.encode(corpus.train[0][:20_000])) == corpus.train[0][:20_000]
