"""What a run is made of: each split's rows, licences of their sources, each part of a mixture or a corpus."""

from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments
from trl import ModelConfig

from data_prep.dataset_folder import DatasetKind, SplitSizes, write_dataset_folder
from pipelines.hub.model_ref import ModelRef
from pipelines.modeling import load_tokenizer, tokenizer_sha256
from pipelines.recipe.arguments import DataArguments, PretrainingArguments
from pipelines.records import Inputs
from pipelines.training.data.rows import recipe_rows
from pipelines.training.pretrain.corpus import open_corpus
from pipelines.training.run_inputs import fine_tuning_inputs, pretraining_inputs
from tests.run_files import write_jsonl


def write_rows(path: Path, n_rows: int) -> str:
    return str(write_jsonl(path, ({"instruction": f"Add {n}", "output": f"x + {n}"} for n in range(n_rows))))


def inputs_of(tiny_model_folder: Path, evaluates: bool = True, **data: Any) -> Inputs:
    arguments = DataArguments(**data)
    tokenizer = load_tokenizer(str(tiny_model_folder))
    rows = recipe_rows(arguments, 0, evaluates=evaluates)
    return fine_tuning_inputs(arguments, rows, tokenizer, ModelRef(str(tiny_model_folder)))


def test_each_split_has_its_own_fingerprint_and_the_folder_s_licences(tiny_model_folder, tmp_path):
    rows = [
        {"instruction": f"Add {n}", "input": "", "output": str(n), "source": "s", "source_row": "0", "group": str(n)}
        for n in range(20)
    ]
    named = [("numpy", "2.0", "BSD-3-Clause"), ("x", "1", "")]
    packages = [dict(zip(("name", "version", "license"), package, strict=True)) for package in named]
    write_dataset_folder(
        tmp_path / "rows", rows, kind=DatasetKind.INSTRUCTIONS, split_sizes=SplitSizes(0.3, 0.0), seed=0,
        sources=[{"name": "tree", "sha256": "1", "distributions": packages}], rejected=[], command="a test",
    )  # fmt: skip
    found = inputs_of(tiny_model_folder, dataset_name=str(tmp_path / "rows"))
    train, validation = found.datasets
    assert (train.split, validation.split) == ("train", "validation")
    assert train.n_rows + validation.n_rows == 20
    assert train.fingerprint != validation.fingerprint
    assert [(one.source, one.license) for one in train.licenses] == [("numpy 2.0", "BSD-3-Clause")]
    assert found.base is not None
    assert found.base.fingerprint.startswith("sha256:")
    assert len(inputs_of(tiny_model_folder, evaluates=False, dataset_name=str(tmp_path / "rows")).datasets) == 1


def test_a_mixture_names_its_parts(tiny_model_folder, tmp_path):
    paths = [write_rows(tmp_path / "a.jsonl", 4), write_rows(tmp_path / "b.jsonl", 6)]
    found = inputs_of(tiny_model_folder, evaluates=False, datasets=[{"path": path} for path in paths])
    [train] = found.to_json()["datasets"]
    assert train["path"] == " + ".join(paths)
    assert train["parts"] == [{"path": path, "revision": None} for path in paths]
    assert (train["n_rows"], train["licenses"]) == (10, [])


@pytest.mark.parametrize("streaming", [False, True])
def test_a_corpus_names_each_part_and_held_out_text(tokenizer, tmp_path, streaming):
    texts = {name: [{"text": f"{name} {n} " + "word " * 40} for n in range(12)] for name in ("a", "b")}
    paths = [str(write_jsonl(tmp_path / f"{name}.jsonl", rows)) for name, rows in texts.items()]
    keys: dict[str, Any] = {"datasets": [{"path": path} for path in paths]} if streaming else {"dataset_name": paths[0]}
    keys |= {"streaming": streaming, "max_length": 16, "n_validation_documents": 3, "text_validation_share": 0.25}
    arguments = PretrainingArguments(**keys)
    training = TrainingArguments(output_dir=str(tmp_path / "run"), use_cpu=True, max_steps=1, report_to="none")
    corpus = open_corpus(arguments, training, tokenizer)
    found = pretraining_inputs(arguments, corpus, tokenizer, ModelConfig())
    assert found.base is None
    expected = paths if streaming else paths[:1]
    assert [(one.split, one.path) for one in found.datasets] == [
        (split, path) for split in ("train", "validation") for path in expected
    ]
    assert [one.n_rows for one in found.datasets] == ([None, None, 3, 3] if streaming else [9, 3])
    assert len({one.fingerprint for one in found.datasets}) == len(found.datasets)


def test_the_tokenizer_is_known_by_what_it_does(tokenizer, tiny_model_folder):
    before = tokenizer_sha256(tokenizer)
    tokenizer(["one", "another text"], truncation=True, max_length=3, padding=True)
    assert tokenizer_sha256(tokenizer) == before
    tokenizer.add_tokens(["<new>"])
    assert tokenizer_sha256(tokenizer) != before
    other = load_tokenizer(str(tiny_model_folder))
    other.eos_token = "<|im_end|>"
    assert tokenizer_sha256(other) != before
