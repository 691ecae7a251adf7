"""Models for all tests of the evaluation."""

import shutil
from pathlib import Path

import pytest

from pipelines.inference.loading import load_for_inference
from pipelines.modeling import LoadedModel


@pytest.fixture(scope="session")
def tiny(tiny_model_folder: Path) -> LoadedModel:
    return load_for_inference(str(tiny_model_folder), name="tiny", dtype="float64")


@pytest.fixture(scope="session")
def stories(shared_data: Path) -> LoadedModel:
    """A trained model: it is often right."""
    return load_for_inference(str(shared_data / "models" / "hf-stories260K"), dtype="float64")


@pytest.fixture
def untemplated(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """The tiny model as a base whose tokenizer has no chat template."""
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "base"))
    (folder / "chat_template.jinja").unlink()
    return folder
