"""A tiny base for the tests of the doctor."""

from pathlib import Path

import pytest

from tests.preflight.contexts import base_of


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen; a test that changes it works on a copy."""
    return base_of("qwen", tmp_path_factory.mktemp("base") / "qwen")
