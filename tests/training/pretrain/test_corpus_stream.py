"""A streamed corpus: parts in their share of the tokens, every document once, and going on at the exact token."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import load_dataset

from pipelines.errors import UserError
from pipelines.training.pretrain.corpus_stream import CorpusStream, StreamedPart
from tests.run_files import write_jsonl

WORDS = ["ALPHA", "BETA", "GAMMA", "DELTA"]


def part_of(folder: Path, name: str, n_documents: int, weight: float = 1.0) -> StreamedPart:
    """Two files of documents `<name><number>: ...` of various lengths, streamed as they would be from the Hub."""
    rows = [{"text": f"{name}{number:04d}:{WORDS[number % 4] * (number % 7)}"} for number in range(n_documents)]
    half = n_documents // 2
    files = [write_jsonl(folder / f"{name}-0.jsonl", rows[:half]), write_jsonl(folder / f"{name}-1.jsonl", rows[half:])]
    return streamed_part(name, files, weight)


def streamed_part(name: str, files: list[Path], weight: float = 1.0) -> StreamedPart:
    streamed = load_dataset("json", data_files=list(map(str, files)), split="train", streaming=True)
    return StreamedPart(name, weight, f"files:{name}", "text", lambda _epoch: streamed.skip(0))


def stream_of(parts: list[StreamedPart], tokenizer: Any, *, respect: bool = True) -> CorpusStream:
    return CorpusStream(parts, tokenizer, 32, respect_documents=respect, n_blocks_per_step=4)


def text_of(blocks: Iterator[dict[str, torch.Tensor]], n: int, tokenizer: Any) -> str:
    return tokenizer.decode([token for block in islice(blocks, n) for token in block["input_ids"].tolist()])


@pytest.mark.parametrize("n_blocks", [40, 200])
def test_each_part_gives_its_share_of_the_tokens_to_one_document(n_blocks, tokenizer, tmp_path):
    parts = [part_of(tmp_path, "code", 500, 0.8), part_of(tmp_path, "prose", 30, 0.2)]
    stream = stream_of(parts, tokenizer)
    list(islice(stream, n_blocks))
    code, prose = stream.parts_after(n_blocks // 4)
    longest = 45
    assert abs(code["n_tokens"] - 4 * prose["n_tokens"]) <= 4 * longest
    assert code["n_tokens"] + prose["n_tokens"] == pytest.approx(n_blocks * 32, abs=longest)
    assert (code["n_epochs"], prose["n_epochs"] > 0) == (0, n_blocks == 200)


def test_all_documents_come_in_order_and_then_anew(tokenizer, tmp_path):
    stream = stream_of([part_of(tmp_path, "d", 150)], tokenizer)
    text = text_of(iter(stream), 200, tokenizer)
    numbers = [int(piece[1:5]) for piece in text.split("<|endoftext|>") if piece.startswith("d") and len(piece) > 4]
    assert numbers[:250] == [*range(150), *range(100)]
    joined = stream_of([part_of(tmp_path, "d", 40)], tokenizer, respect=False)
    assert next(iter(joined)).keys() == {"input_ids", "labels"}  # no positions


def test_a_stream_goes_on_at_the_exact_token_from_its_state_in_json(tokenizer, tmp_path):
    """The state of step 9 is asked for when the stream is further, as the trainer and its prefetching do."""
    parts = [part_of(tmp_path, "code", 90, 0.7), part_of(tmp_path, "prose", 20, 0.3)]
    straight = iter(stream_of(parts, tokenizer))
    text_of(straight, 36, tokenizer)
    expected = text_of(straight, 60, tokenizer)
    interrupted = stream_of(parts, tokenizer)
    text_of(iter(interrupted), 43, tokenizer)
    state = json.loads(json.dumps(interrupted.state_after(9)))
    resumed = stream_of(parts, tokenizer)
    resumed.restore(state)
    assert text_of(iter(resumed), 60, tokenizer) == expected
    assert resumed.n_blocks == 96
    again = stream_of(parts, tokenizer)  # from a run that was resumed itself
    again.restore(json.loads(json.dumps(resumed.state_after(20))))
    assert expected.endswith(text_of(iter(again), 16, tokenizer))
    assert again.parts_after(24) == resumed.parts_after(24)


@pytest.mark.parametrize("changed", ["weight", "path", "respect"])
def test_a_state_of_another_corpus_is_refused(changed, tokenizer, tmp_path):
    stream = stream_of([part_of(tmp_path, "d", 40)], tokenizer)
    state = stream.state_after(0)
    name, weight = ("e" if changed == "path" else "d"), (0.5 if changed == "weight" else 1.0)
    other = stream_of([part_of(tmp_path, name, 40, weight)], tokenizer, respect=changed != "respect")
    with pytest.raises(UserError, match="but the run began with"):
        other.restore(state)


def rows_part(folder: Path, rows: list[dict]) -> StreamedPart:
    return streamed_part("rows", [write_jsonl(folder / "rows.jsonl", rows)])


def test_rows_without_text_are_passed_over(tokenizer, tmp_path):
    stream = stream_of([rows_part(tmp_path, [{"text": ""}, {"text": "ABC"}, {"text": None}])], tokenizer)
    text = text_of(iter(stream), 8, tokenizer)
    assert set(text.split("<|endoftext|>")) <= {"", "ABC", "AB", "A", "BC", "C"}
    assert stream.parts_after(2)[0]["n_epochs"] > 0


@pytest.mark.parametrize(("value", "complaint"), [("", "no document with text"), (7, "has a int, expected text")])
def test_a_part_without_text_ends_in_one_line(value, complaint, tokenizer, tmp_path):
    with pytest.raises(UserError, match=complaint):
        next(iter(stream_of([rows_part(tmp_path, [{"text": value}] * 3)], tokenizer)))


def test_a_file_that_breaks_in_the_middle_ends_in_one_line(tokenizer, tmp_path):
    part = rows_part(tmp_path, [{"text": "ABC"}] * 3)
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('{"text": "AB\n')
    with pytest.raises(UserError, match="cannot read a corpus at rows"):
        list(islice(stream_of([part], tokenizer), 9))
