"""The four bases, made once, and no cached rows of whoever runs the tests."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import datasets
import pytest

from tests.planted_faults.families import Family, save_base


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Family, Path]:
    """The base of each family."""
    folder = tmp_path_factory.mktemp("bases")
    return {family: save_base(family, folder / family.value) for family in Family}


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
