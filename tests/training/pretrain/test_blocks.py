"""A corpus becomes blocks without losing a document boundary or miscounting a byte."""

import math

import numpy as np
import pytest

from pipelines.errors import UserError
from pipelines.training.pretrain.blocks import cut_into_blocks


def test_joined_documents_have_the_end_token_between_them_and_are_cut(tokenizer):
    texts = ["def f():\n    return 1\n", "café 🙂\n" * 3, "x"]
    blocks = cut_into_blocks(texts, tokenizer, 4)
    stream = [i for text in texts for i in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]]
    assert blocks.tokens.ravel().tolist() == stream[: len(stream) // 4 * 4]
    assert (blocks.n_tokens, blocks.n_bytes) == (len(stream), sum(len(text.encode()) for text in texts))
    assert blocks.tokens.dtype == np.uint16
    assert blocks[0].keys() == {"input_ids", "labels"}
    assert blocks[0]["input_ids"].tolist() == blocks[0]["labels"].tolist() == stream[:4]


def test_positions_begin_anew_at_each_document_and_its_first_token_is_no_label(tokenizer):
    separator = tokenizer.eos_token_id
    blocks = cut_into_blocks(["AB", "CDE"], tokenizer, 9, respect_documents=True)
    [a, b], [c, d, e] = (tokenizer(text)["input_ids"] for text in ("AB", "CDE"))
    assert blocks[0]["input_ids"].tolist() == [separator, a, b, separator, separator, c, d, e, separator]
    assert blocks[0]["labels"].tolist() == [-100, a, b, separator, -100, c, d, e, separator]
    assert blocks[0]["position_ids"].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4]
    assert (blocks.n_tokens, blocks.n_scored, blocks.n_bytes) == (9, 7, 5)
    # a document that is cut goes on in the next block at position 0
    blocks = cut_into_blocks(["ABCDEFG"], tokenizer, 4, respect_documents=True)
    assert [block["position_ids"].tolist() for block in (blocks[0], blocks[1])] == [[0, 1, 2, 3]] * 2
    assert blocks[1]["labels"].tolist() == blocks[1]["input_ids"].tolist()


def test_bits_per_byte_are_of_all_tokens_and_bytes_and_need_one_block(tokenizer):
    blocks = cut_into_blocks(["é" * 40], tokenizer, 4)
    assert blocks.n_bytes == 80
    assert blocks.bits_per_byte(2 * math.log(2)) == pytest.approx(2 * blocks.n_tokens / 80)
    with pytest.raises(UserError, match="fewer than one block of 512"):
        cut_into_blocks(["too short"], tokenizer, 512)
