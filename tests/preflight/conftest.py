"""Tiny bases for the tests of the doctor, each made once; a test that changes one works on a copy."""

from pathlib import Path

import pytest

from tests.preflight.contexts import FAMILIES, Bases, base_of


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    """The tiny base of each family."""
    folder = tmp_path_factory.mktemp("bases")
    return {family: base_of(family, folder / family) for family in FAMILIES}


@pytest.fixture(scope="session")
def base(bases: Bases) -> Path:
    """A tiny Qwen."""
    return bases["qwen"]


@pytest.fixture(scope="session")
def qwen(bases: Bases) -> Path:
    """A base with a chat template of its own."""
    return bases["qwen"]


@pytest.fixture(scope="session")
def gpt2(bases: Bases) -> Path:
    """A base without a chat template."""
    return bases["gpt2"]
