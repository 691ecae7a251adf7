"""Vocabularies and ids that do not belong to the base, and those that only look so."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.modeling import load_tokenizer
from pipelines.preflight.checks.tokens.tokenizer_of_model import CHECKS
from pipelines.records.finding import Severity
from tests.planted_faults.families import byte_level_tokenizer, change_json, save_own_tokenizer
from tests.planted_faults.faults.tokenizer import with_rows
from tests.preflight.contexts import context_of, findings_by_id, pretraining_context, rows_of, write_jsonl

NOT_ITS_OWN, IDS, ROWS = "TOKENIZER_NOT_OF_MODEL", "TOKEN_IDS_DISAGREE", "EMBEDDINGS_NOT_OF_CONFIG"
found = partial(findings_by_id, CHECKS)


def copied(base: Path, folder: Path, config: dict[str, Any], generation: dict[str, Any] | None = None) -> Path:
    """A copy of `base` with other entries in its configs."""
    copy = Path(shutil.copytree(base, folder / "copy", dirs_exist_ok=True))
    change_json(copy / "config.json", lambda facts: facts.update(config))
    change_json(copy / "generation_config.json", lambda facts: facts.update(generation or {}))
    return copy


@pytest.mark.parametrize("family", ["gpt2", "qwen", "llama3"])
def test_bases_as_they_are_give_nothing(bases, tmp_path, family):
    assert found(context_of(tmp_path, bases[family], rows_of(4))) == {}
    assert found(context_of(tmp_path, bases[family], [{"text": row["output"]} for row in rows_of(4)])) == {}


def test_words_without_embeddings_are_an_error(bases, tmp_path):
    base = copied(bases["qwen"], tmp_path, {})
    for path in base.glob("tokenizer*"):
        path.unlink()
    save_own_tokenizer(byte_level_tokenizer(), base)
    finding = found(context_of(tmp_path, base, rows_of(4)))[NOT_ITS_OWN]
    assert finding.severity is Severity.ERROR
    assert "have no row among the 308" in finding.summary


def test_far_more_embeddings_than_tokens_are_a_warning_and_with_other_signs_an_error(bases, tmp_path):
    base = copied(bases["llama3"], tmp_path, {"vocab_size": 1500})
    with_rows(base, 1500)
    assert found(context_of(tmp_path, base, rows_of(4)))[NOT_ITS_OWN].severity is Severity.WARNING
    base = copied(base, tmp_path / "more", {"bos_token_id": 1400})
    assert found(context_of(tmp_path, base, rows_of(4)))[NOT_ITS_OWN].severity is Severity.ERROR


@pytest.mark.parametrize(
    ("config", "generation", "said"),
    [
        ({"eos_token_id": 0}, {}, "eos_token_id of config.json is 0, the tokenizer has '<|end_of_text|>' (1)"),
        ({}, {"eos_token_id": [3, 4]}, "eos_token_id of generation_config.json is 3, 4, the tokenizer has"),
        ({"bos_token_id": 1}, {}, "bos_token_id of config.json is 1, the tokenizer has '<|begin_of_text|>' (0)"),
        ({"pad_token_id": 200}, {}, "pad_token_id of config.json is 200, the word"),
        ({"bos_token_id": 200, "pad_token_id": 201}, {}, "bos_token_id of config.json is 200, the word"),
        ({"eos_token_id": 70000}, {}, "eos_token_id of config.json is 70000, and there are 300 embeddings"),
        ({}, {"pad_token_id": 70000}, "pad_token_id of generation_config.json is 70000, and there are 300 embeddings"),
    ],
)  # fmt: skip
def test_ids_that_disagree_are_a_warning(bases, tmp_path, config, generation, said):
    base = copied(bases["llama3"], tmp_path, config, generation)
    finding = found(context_of(tmp_path, base, rows_of(4)))[IDS]
    assert finding.severity is Severity.WARNING
    assert said in finding.summary
    assert '"bos_token_id": 0, "eos_token_id": 1' in finding.remedy


@pytest.mark.parametrize(
    ("family", "config", "generation"),
    [
        ("llama3", {"eos_token_id": [1, 4]}, {"eos_token_id": [4, 1]}), ("gpt2", {"pad_token_id": 0}, {}),
        ("llama3", {"pad_token_id": 3}, {"pad_token_id": 3}), ("llama3", {"pad_token_id": -1}, {}),
        ("qwen", {"bos_token_id": 0}, {"bos_token_id": 0}), ("qwen", {"bos_token_id": None, "eos_token_id": 0}, {}),
    ],
)  # fmt: skip
def test_ids_as_real_models_have_them_give_nothing(bases, tmp_path, family, config, generation):
    base = copied(bases[family], tmp_path, config, generation)
    assert found(context_of(tmp_path, base, rows_of(4))) == {}


def test_an_added_token_is_no_other_vocabulary(bases, tmp_path):
    base = copied(bases["llama3"], tmp_path, {})
    tokenizer = load_tokenizer(str(base))
    tokenizer.add_special_tokens({"pad_token": "<|padding|>"})
    tokenizer.save_pretrained(base)
    assert found(context_of(tmp_path, base, rows_of(4))) == {}


def test_weights_of_another_size_than_the_config_are_an_error(bases, tmp_path):
    for family, size in (("gpt2", 320), ("qwen", 300)):
        finding = found(
            context_of(tmp_path, copied(bases[family], tmp_path / family, {"vocab_size": size}), rows_of(4))
        )
        assert finding[ROWS].severity is Severity.ERROR


def test_pretraining_says_nothing_of_ids(bases, tmp_path):
    base = copied(bases["gpt2"], tmp_path, {"eos_token_id": 7})
    corpus = write_jsonl(tmp_path / "texts.jsonl", (row["output"] * 20 for row in rows_of(20)))
    keys = {"model_name_or_path": str(base), "dataset_name": str(corpus), "max_length": 64}
    assert found(pretraining_context(tmp_path / "run", **keys)) == {}
