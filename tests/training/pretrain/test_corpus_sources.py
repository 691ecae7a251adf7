"""Every place that a corpus can come from gives the same documents, and what cannot be read is one line."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, IterableDataset
from transformers import TrainingArguments

from data_prep.dataset_folder import DatasetKind, SplitSizes, write_dataset_folder
from pipelines.errors import UserError
from pipelines.recipe.arguments import MixturePart, PretrainingArguments
from pipelines.training.pretrain.blocks import Blocks
from pipelines.training.pretrain.corpus import Corpus, open_corpus
from pipelines.training.pretrain.corpus_sources import corpus_source, text_column
from pipelines.training.pretrain.corpus_stream import CorpusStream
from tests.run_files import write_jsonl

Open = Callable[..., Corpus]

TEXTS = [f"DOCUMENT {number}: {'WORDS ' * (number % 5)}" for number in range(40)]
FORMS = ["jsonl", "jsonl.gz", "parquet", "csv", "folder of jsonl", "folder of text", "corpus folder", "gz text folder"]


def written(form: str, folder: Path) -> Path:
    """TEXTS in one of FORMS."""
    rows = [{"text": text} for text in TEXTS]
    lines = [json.dumps(row) + "\n" for row in rows]
    path = folder / f"corpus.{form}"
    if form == "jsonl":
        write_jsonl(path, rows)
    elif form == "jsonl.gz":
        path.write_bytes(gzip.compress("".join(lines).encode()))
    elif form in ("parquet", "csv"):
        getattr(Dataset.from_list(rows), f"to_{form}")(str(path))
    elif form == "corpus folder":
        sourced = [{"text": text, "source": "s", "source_row": str(n), "group": str(n)} for n, text in enumerate(TEXTS)]
        split = {"split_sizes": SplitSizes(validation=0.2, test=0.0), "seed": 0}
        write_dataset_folder(
            path, sourced, kind=DatasetKind.CORPUS, **split, sources=[], rejected=[], command="test", overwrite=False
        )
    else:
        path.mkdir()
        for n, text in enumerate(TEXTS):
            if form == "folder of jsonl":
                (path / f"{n:02d}.jsonl").write_text(lines[n])
            elif form == "folder of text":
                (path / f"{n:02d}.txt").write_text(text)
            else:
                (path / f"{n:02d}.txt.gz").write_bytes(gzip.compress(text.encode()))
    return path


@pytest.fixture
def opened(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Corpus]:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")

    def opened(max_steps: int = 4, workers: int = 0, **keys: object) -> Corpus:
        options = {"max_steps": max_steps, "use_cpu": True, "dataloader_num_workers": workers}
        training = TrainingArguments(output_dir=str(tmp_path / "run"), **options)
        arguments = PretrainingArguments(**{"max_length": 16, "n_validation_documents": 8, **keys})
        return open_corpus(arguments, training, tokenizer)

    return opened


def trained_texts(corpus: Corpus, tokenizer: Any, n_blocks: int) -> set[str]:
    train: Any = corpus.train
    blocks = islice(train, n_blocks) if isinstance(train, CorpusStream) else [train[n] for n in range(len(train))]
    text = tokenizer.decode([token for block in blocks for token in block["input_ids"].tolist()])
    return {piece for piece in text.split("<|endoftext|>") if piece in TEXTS}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_each_document_has_one_place(form, streaming, opened, tokenizer, tmp_path):
    corpus = opened(dataset_name=str(written(form, tmp_path)), streaming=streaming)
    [held_out] = corpus.held_out_texts.values()
    trained = trained_texts(corpus, tokenizer, 120)
    assert isinstance(corpus.train, CorpusStream if streaming else Blocks)
    assert 2 <= len(held_out) <= 8
    assert not trained & set(held_out)
    assert len(trained) >= len(TEXTS) - len(held_out) - 1  # the last block may be cut
    if streaming and form != "corpus folder":
        assert held_out == TEXTS[:8]


def test_a_text_file_holds_out_its_end_in_pieces(opened, tmp_path):
    text = "\n".join(f"LINE {number}" for number in range(900))
    (tmp_path / "input.txt").write_text(text)
    corpus = opened(dataset_name=str(tmp_path / "input.txt"), text_validation_share=0.25)
    [pieces] = corpus.held_out_texts.values()
    assert text.endswith("".join(pieces))
    assert len("".join(pieces)) == pytest.approx(len(text) / 4, abs=1)
    assert len(pieces) > 2
    assert all(piece.startswith("LINE") for piece in pieces[1:])


def test_a_folder_has_its_splits_by_file_names(opened, tokenizer, tmp_path):
    for name, texts in {"train-0": TEXTS[:20], "train-1": TEXTS[20:30], "validation": TEXTS[30:]}.items():
        write_jsonl(tmp_path / f"{name}.jsonl", ({"content": text} for text in texts))
    (tmp_path / "README.md").write_text("no document")
    corpus = opened(dataset_name=str(tmp_path), streaming=True)
    assert corpus.held_out_texts == {str(tmp_path): TEXTS[30:38]}
    assert trained_texts(corpus, tokenizer, 80) == set(TEXTS[:30])


def test_a_mixture_is_shuffled_and_holds_out_of_every_part(opened, tokenizer, tmp_path):
    (tmp_path / "a").mkdir()
    paths = [written("parquet", tmp_path), written("jsonl", tmp_path / "a")]
    entries = [{"path": str(path), "weight": weight} for path, weight in zip(paths, (3, 1), strict=True)]
    corpus = opened(datasets=entries)
    assert isinstance(corpus.train, CorpusStream)
    assert [len(texts) for texts in corpus.held_out_texts.values()] == [4, 4]
    text = tokenizer.decode([t for block in islice(corpus.train, 30) for t in block["input_ids"]])
    first = [piece for piece in text.split("<|endoftext|>") if piece in TEXTS]
    assert first != sorted(first, key=TEXTS.index)
    assert [part["weight"] for part in corpus.facts["parts"]] == [3, 1]


def test_the_text_column_is_found_or_named():
    assert text_column(["id", "content", "code"], None, "x") == "content"
    assert text_column(["id", "body"], "body", "x") == "body"
    with pytest.raises(UserError, match="x has the columns id, body, expected text or content or code"):
        text_column(["id", "body"], None, "x")


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({}, "the recipe has neither"),
        ({"dataset_name": "absent.jsonl"}, "no such corpus file"),
        ({"dataset_name": "nobody/has-this-corpus"}, "nobody/has-this-corpus"),
        ({"dataset_name": "{folder}", "streaming": True, "max_steps": -1}, "max_steps is not set"),
        ({"dataset_name": "{folder}", "streaming": True, "workers": 2}, "dataloader_num_workers is 2, expected 0"),
        ({"dataset_name": "{folder}", "text_column": "body"}, "expected body"),
        ({"dataset_name": "{folder}", "dataset_train_split": "more"}, "no split more"),
        ({"dataset_name": "{folder}", "n_validation_documents": 1}, "n_validation_documents is 1, expected at least 2"),
        ({"dataset_name": "{folder}", "datasets": [{"path": "{folder}"}]}, "the recipe has both"),
        ({"datasets": [{"path": "a", "weight": 1}, {"path": "b"}]}, "a weight above 0"),
        ({"datasets": [{"path": "{folder}"}, {"path": "{folder}"}]}, "more than once"),
        ({"datasets": [{"path": "a", "fraction": 1}]}, "fraction is for sft.py"),
        ({"dataset_name": "{empty}"}, "expected one kind"),
        ({"dataset_name": "{numbers}"}, "has a int, expected text"),
        ({"dataset_name": "{broken}", "streaming": True}, "cannot read a corpus"),
    ],
)  # fmt: skip
def test_a_wrong_corpus_is_one_line(keys, complaint, opened, tmp_path):
    places = {name: tmp_path / name for name in ("folder", "empty", "numbers", "broken")}
    for place in places.values():
        place.mkdir()
    write_jsonl(places["folder"] / "rows.jsonl", ({"text": text} for text in TEXTS))
    (places["numbers"] / "rows.jsonl").write_text('{"text": 1}\n' * 40)
    (places["broken"] / "rows.jsonl").write_text('{"text": \n')
    filled = json.loads(json.dumps(keys).replace("{folder}", str(places["folder"])))
    filled = {key: value.format(**places) if isinstance(value, str) else value for key, value in filled.items()}
    with pytest.raises(UserError, match=complaint) as raised:
        opened(**filled)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("streaming", [False, True])
def test_documents_in_a_csv_file_stay_text_whatever_its_separator(tmp_path, streaming):
    texts = ["NA", "nan", "007", "a, b"]
    (tmp_path / "rows.csv").write_text("text;n\n" + "".join(f"{text};1\n" for text in texts))
    (tmp_path / "rows.tsv").write_text("text\tn\n" + "".join(f"{text}\t1\n" for text in texts))
    for name in ("rows.csv", "rows.tsv"):
        rows = corpus_source(MixturePart(path=str(tmp_path / name)), streaming=streaming).rows("train")
        assert [row["text"] for row in rows] == texts


def test_streaming_reads_nothing_into_memory_and_refuses_a_slice(tmp_path):
    part = MixturePart(path=str(written("jsonl", tmp_path)))
    assert isinstance(corpus_source(part, streaming=True).rows("train"), IterableDataset)
    part = replace(part, split="train[:10]")
    with pytest.raises(UserError, match=r"train\[:10\] is not a split name"):
        corpus_source(part, streaming=True)
