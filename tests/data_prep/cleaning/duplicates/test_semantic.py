from pathlib import Path

import numpy as np
import pytest

from data_prep.cleaning.duplicates.minhash import ComparisonText
from data_prep.cleaning.duplicates.near_duplicates import NearDuplicate
from data_prep.cleaning.duplicates.semantic import SemanticDuplicateOptions, semantic_duplicates
from pipelines.errors import UserError

SYNONYMS = ("big large huge", "car automobile", "fast quick rapid", "buy purchase", "should ought", "cheap inexpensive")
OTHERS = "what which why a the is i in to sea moon pull tide water when rise"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Save a static model whose synonyms have one vector."""
    pytest.importorskip("semhash", reason="the extra semantic is not installed")
    from model2vec import StaticModel
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    meanings = [*SYNONYMS, *OTHERS.split()]
    words = [(word, number) for number, meaning in enumerate(meanings) for word in meaning.split()]
    tokenizer = Tokenizer(
        WordLevel({"[UNK]": 0, **{word: place + 1 for place, (word, _) in enumerate(words)}}, "[UNK]")
    )
    tokenizer.pre_tokenizer = Whitespace()
    vectors = np.random.default_rng(0).normal(size=(len(meanings), 32)).astype(np.float32)
    folder = tmp_path_factory.mktemp("static-model")
    StaticModel(
        np.stack([np.zeros(32, np.float32), *(vectors[number] for _, number in words)]), tokenizer
    ).save_pretrained(folder)
    return folder


def test_a_paraphrase_is_a_duplicate_and_another_answer_is_none(model):
    rows = [
        ComparisonText(("which car should i buy",), ("a big fast cheap car",)),
        ComparisonText(("why is the tide in the sea",), ("the moon pull the water",)),
        ComparisonText(("which automobile ought i purchase",), ("a huge rapid inexpensive automobile",)),
        ComparisonText(("which car should i buy",), ("water rise when the moon pull",)),
        ComparisonText((), ("",)),
    ]
    found = semantic_duplicates(range(5), rows.__getitem__, SemanticDuplicateOptions(str(model)))
    assert found == [NearDuplicate(2, 0, 1.0)]
    assert semantic_duplicates([2, 1], rows.__getitem__, SemanticDuplicateOptions(str(model))) == []
    assert semantic_duplicates([], rows.__getitem__, SemanticDuplicateOptions(str(model))) == []


def test_a_model_that_is_nowhere_is_named(model, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    options = SemanticDuplicateOptions(f"{model}/missing")
    rows = [ComparisonText((), ("the sea",)), ComparisonText((), ("the moon",))]
    with pytest.raises(UserError, match=r"the model .*missing is no folder and cannot be downloaded"):
        semantic_duplicates([0, 1], rows.__getitem__, options)


def test_options_are_checked_before_any_work(monkeypatch):
    with pytest.raises(UserError, match="threshold is 0, expected more than 0, at most 1"):
        SemanticDuplicateOptions(threshold=0)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"needs semhash.*\n?.*semantic"):
        SemanticDuplicateOptions()
