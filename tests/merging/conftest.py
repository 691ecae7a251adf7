"""Tiny bases of real architectures, made once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.twins.models import save_twin

Twin = Callable[[str], Path]


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Twin:
    """The folder of the twin of a model, by the name of its recipes: with the tiny tokenizer of its family."""
    folder = tmp_path_factory.mktemp("twins")

    @cache
    def saved(model: str) -> Path:
        return save_twin(model, folder / model, folder / "no-real-tokenizers")

    return saved
