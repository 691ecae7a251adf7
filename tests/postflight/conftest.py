"""Tiny bases, each made once, and a file of general text."""

from pathlib import Path

import pytest

from tests.postflight.runs import GENERAL
from tests.preflight.contexts import base_of


@pytest.fixture(scope="session")
def gpt2_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base without a chat template: its marks are new tokens."""
    return base_of("gpt2", tmp_path_factory.mktemp("after") / "gpt2")


@pytest.fixture(scope="session")
def qwen_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose vocabulary has the marks of a chat template."""
    return base_of("qwen", tmp_path_factory.mktemp("after") / "qwen")


@pytest.fixture
def general_text(tmp_path: Path) -> Path:
    """A file of general text."""
    path = tmp_path / "general.txt"
    path.write_text(GENERAL)
    return path
