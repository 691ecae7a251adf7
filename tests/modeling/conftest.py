from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from pipelines.modeling import load_tokenizer


@pytest.fixture
def tiny(tiny_model_folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of the tiny model, for one test to change."""
    return load_tokenizer(str(tiny_model_folder))
