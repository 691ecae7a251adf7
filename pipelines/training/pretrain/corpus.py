"""Open a recipe's corpus: documents to train on, whole or streamed, and held-out documents."""

import math
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from datasets import Dataset, IterableDataset
from transformers import PreTrainedTokenizerBase, TrainingArguments

from pipelines.errors import UserError
from pipelines.files import read_text, sha256_of_text
from pipelines.recipe.arguments import MixturePart, PretrainingArguments
from pipelines.training.pretrain.blocks import Blocks, cut_into_blocks
from pipelines.training.pretrain.corpus_sources import (
    CorpusSource,
    Rows,
    corpus_source,
    is_text_file,
    one_line_errors,
    text_column,
)
from pipelines.training.pretrain.corpus_stream import CorpusStream, StreamedPart

_MAX_CHARACTERS = 8_000_000  # of a part's documents that are checked before a run: about five seconds
_BYTES_PER_PIECE = 512  # pieces of a held-out text that is one document, for its confidence interval


@dataclass(frozen=True)
class Corpus:
    """`held_out_blocks` come from the first part, `held_out_texts` from each part by path; neither is trained on."""

    train: Blocks | CorpusStream
    held_out_blocks: Blocks
    held_out_texts: dict[str, list[str]]
    facts: dict[str, Any]


@dataclass(frozen=True)
class _Opened:
    part: MixturePart
    fingerprint: str
    column: str
    rows: Rows
    n_head: int  # documents at the head of `rows` that are held out
    held_out: list[str]

    @property
    def name(self) -> str:
        """The part's name in records."""
        return f"{self.part.path}:{self.part.name}" if self.part.name else self.part.path


def open_corpus(
    arguments: PretrainingArguments, training: TrainingArguments, tokenizer: PreTrainedTokenizerBase
) -> Corpus:
    """Read or open the recipe's corpus. Raises `UserError` if it cannot be found, read or split."""
    parts = _parts(arguments)
    _refuse_unstreamable(arguments, training, len(parts))
    opened = [_open(part, arguments, training.seed) for part in parts]
    twice = [name for name, n in Counter(one.name for one in opened).items() if n > 1]
    if twice:
        raise UserError(f"datasets has {twice[0]} more than once", "merge the entries into one with a larger weight")
    kind = {"respect_documents": arguments.respect_documents}
    held_out_blocks = cut_into_blocks(opened[0].held_out, tokenizer, arguments.max_length, **kind)
    n_held_out = arguments.n_validation_documents
    texts = {one.name: _at_most(one.held_out, n_held_out, training.seed) for one in opened}
    if not arguments.streaming and len(parts) == 1:
        documents = _texts(opened[0].rows, opened[0].column, parts[0].path)
        blocks = cut_into_blocks(documents, tokenizer, arguments.max_length, **kind)
        fingerprint = f"sha256:{sha256_of_text(chr(0).join(documents))}"
        facts = {"path": parts[0].path, "fingerprint": fingerprint, "n_rows": len(documents), **blocks.sizes("train")}
        return Corpus(blocks, held_out_blocks, texts, {**facts, **held_out_blocks.sizes("validation")})
    n_blocks = training.train_batch_size * training.gradient_accumulation_steps * training.world_size
    streamed = [_streamed(one, training.seed) for one in opened]
    stream = CorpusStream(streamed, tokenizer, arguments.max_length, n_blocks_per_step=n_blocks, **kind)
    facts = {"path": ", ".join(texts), "streaming": arguments.streaming, "parts": stream.parts_after(0)}
    return Corpus(stream, held_out_blocks, texts, {**facts, **held_out_blocks.sizes("validation")})


@dataclass(frozen=True)
class Documents:
    """A sample of `n_documents`."""

    texts: list[str]
    n_documents: int


def sample_documents(
    arguments: PretrainingArguments, training: TrainingArguments, max_documents: int | None
) -> tuple[Documents, Documents]:
    """Draw training and held-out documents from all parts, at most `max_documents` of each, to check them before a run.
    A stream gives its first documents, and its length is unknown."""
    opened = [_open(part, arguments, training.seed) for part in _parts(arguments)]
    train: list[str] = []
    n_train = 0
    for one in opened:
        if isinstance(one.rows, IterableDataset):
            streamed = one.rows.skip(one.n_head)
            texts = _texts(streamed if max_documents is None else streamed.take(max_documents), one.column, one.name)
            n_train += len(texts)
        else:
            texts = _at_most(_texts(one.rows, one.column, one.name), max_documents or len(one.rows), training.seed)
            n_train += len(one.rows)
        train += texts if max_documents is None else _within(texts)
    held_out = [text for one in opened for text in _at_most(one.held_out, arguments.n_validation_documents, 0)]
    seen = held_out if max_documents is None else _within(held_out)
    return Documents(train, max(n_train, len(train))), Documents(seen, len(held_out))


def _within(texts: list[str]) -> list[str]:
    """The first texts with `_MAX_CHARACTERS` together, at least one."""
    ends = list(accumulate(map(len, texts)))
    return texts[: max(1, bisect_right(ends, _MAX_CHARACTERS))]


def _parts(arguments: PretrainingArguments) -> list[MixturePart]:
    """The entries of `datasets` with a weight each, or the one source of `dataset_name`."""
    if arguments.datasets and arguments.dataset_name is None:
        parts = [part for part in arguments.datasets if isinstance(part, MixturePart)]
        weights = [part.weight for part in parts]
        has_fraction = any(part.fraction is not None for part in parts)
        has_all_weights = all(weight is not None and weight > 0 for weight in weights)
        if has_fraction or not (has_all_weights or not any(weights)):
            raise UserError(
                "datasets entries need a weight above 0 (share of the tokens), all or none: "
                + ", ".join(f"{part.path}: weight {part.weight}, fraction {part.fraction}" for part in parts),
                "give each entry a weight; fraction is for sft.py",
            )
        return [MixturePart(**{**vars(part), "weight": part.weight or 1.0}) for part in parts]
    if arguments.dataset_name is None or arguments.datasets:
        raise UserError(
            f"the recipe has {'both' if arguments.datasets else 'neither'} of dataset_name and datasets, expected one",
            "name a corpus folder, a text, JSONL or Parquet file, a folder of them, or a Hub id",
        )
    name, split = arguments.dataset_name, arguments.dataset_train_split
    one = MixturePart(path=name, name=arguments.dataset_config, revision=arguments.dataset_revision, split=split)
    return [MixturePart(**{**vars(one), "weight": 1.0})]


def _refuse_unstreamable(arguments: PretrainingArguments, training: TrainingArguments, n_parts: int) -> None:
    if arguments.n_validation_documents < 2:
        raise UserError(
            f"n_validation_documents is {arguments.n_validation_documents}, expected at least 2 for an interval",
            "raise it",
        )
    if not arguments.streaming and n_parts == 1:
        return
    if training.max_steps <= 0:
        raise UserError(
            "a streamed or mixed corpus has no end, and max_steps is not set", "set max_steps in the recipe"
        )
    if training.dataloader_num_workers > 0:
        raise UserError(
            f"dataloader_num_workers is {training.dataloader_num_workers}, expected 0 for a streamed or mixed corpus",
            "remove it: with workers that read ahead a run cannot be resumed at the exact token",
        )


def _open(part: MixturePart, arguments: PretrainingArguments, seed: int) -> _Opened:
    if is_text_file(part.path):
        head, tail = _head_and_tail(Path(part.path), arguments.text_validation_share)
        rows: Rows = Dataset.from_dict({"text": [head]})
        return _Opened(part, f"sha256:{sha256_of_text(head)}", "text", rows, 0, [tail])
    source = corpus_source(part, streaming=arguments.streaming)
    rows = source.rows(part.split)
    with one_line_errors(part.path):
        first = next(iter(rows), None)
    if first is None:
        raise UserError(f"{part.path} has no documents", "check the data")
    wished = part.columns[0] if part.columns and len(part.columns) == 1 else arguments.text_column
    column = text_column(list(first), wished, part.path)
    rows, n_head, held_out = _hold_out(source, rows, arguments, seed)
    texts = _texts(held_out, column, part.path)
    if len(texts) < 2:
        raise UserError(
            f"{part.path} has {len(texts)} documents with text to hold out, expected at least 2",
            f"add documents or a split {arguments.dataset_test_split}",
        )
    return _Opened(part, source.fingerprint, column, rows, n_head, texts)


def _hold_out(
    source: CorpusSource, rows: Rows, arguments: PretrainingArguments, seed: int
) -> tuple[Rows, int, Iterable[dict[str, Any]]]:
    """Training rows, the number of rows at their head to skip, and held-out rows, from their own split if any."""
    n, split = arguments.n_validation_documents, arguments.dataset_test_split
    if split != source.part.split and source.has_split(split):
        held_out = source.rows(split)
        return rows, 0, held_out.take(n) if isinstance(held_out, IterableDataset) else held_out
    if isinstance(rows, IterableDataset):
        return rows, n, rows.take(n)
    n = min(n, math.ceil(arguments.text_validation_share * len(rows)))
    if n >= len(rows):
        raise UserError(
            f"{source.part.path} has {len(rows)} documents, too few to hold some out",
            f"add documents or a split {split}",
        )
    shuffled = rows.shuffle(seed=seed)
    return shuffled.select(range(n, len(rows))), 0, shuffled.select(range(n))


def _streamed(one: _Opened, seed: int) -> StreamedPart:
    documents = _documents(one.rows, one.n_head, seed)
    return StreamedPart(one.name, one.part.weight or 1.0, one.fingerprint, one.column, documents)


def _documents(rows: Rows, n_head: int, seed: int) -> Callable[[int], IterableDataset]:
    """Rows of an epoch: a stream in order, because a shuffle buffer cannot be resumed exactly; otherwise shuffled."""
    if isinstance(rows, IterableDataset):
        return lambda _epoch: rows.skip(n_head)
    return lambda epoch: rows.shuffle(seed=seed + epoch).to_iterable_dataset()


def _texts(rows: Iterable[dict[str, Any]], column: str, path: str) -> list[str]:
    with one_line_errors(path):
        values = [row.get(column) for row in rows]
    strange = next((value for value in values if value is not None and not isinstance(value, str)), None)
    if strange is not None:
        raise UserError(
            f"the column {column} of {path} has a {type(strange).__name__}, expected text",
            "set text_column to the column with the text",
        )
    return [value for value in values if value]


def _head_and_tail(path: Path, share: float) -> tuple[str, str]:
    """The text of a file and its held-out end."""
    text = read_text(path)
    cut = round(len(text) * (1 - share))
    if not text[:cut] or not text[cut:]:
        raise UserError(
            f"{path} has {len(text)} characters, too few to train on and hold some out", "name a longer file"
        )
    return text[:cut], text[cut:]


def _at_most(texts: list[str], n: int, seed: int) -> list[str]:
    """Draw `n` documents, because the first may come from one source. A single one is cut into pieces at lines."""
    if len(texts) == 1:
        [text] = texts
        n_pieces = max(2, min(n, len(text) // _BYTES_PER_PIECE))
        cuts = sorted({text.find("\n", i * len(text) // n_pieces) + 1 for i in range(1, n_pieces)} - {0})
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True) if text[a:b]]
        middle = len(text) // 2
        return pieces if len(pieces) > 1 else [piece for piece in (text[:middle], text[middle:]) if piece]
    return texts if len(texts) <= n else random.Random(seed).sample(texts, n)
