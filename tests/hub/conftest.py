"""The real client in this process, before a local Hub of each test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from pipelines.hub.repository import Repository, writable_repository
from pipelines.hub.retry import RetryPolicy
from tests.hub.run_folder import write_base
from tests.hub_server.server import LocalHub, ask_from_this_process

FAST_RETRIES = RetryPolicy(n_retries=2, seconds_first_wait=0.01, seconds_longest_wait=3.0, seconds_of_silence=2.0)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    with LocalHub(tmp_path / "hub") as hub:
        ask_from_this_process(hub, monkeypatch)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
        yield hub


@pytest.fixture
def token(hub: LocalHub) -> str:
    return hub.add_user("me", orgs=["team"])


@pytest.fixture
def repository(token: str) -> Repository:
    """me/instruct, which nobody has created yet."""
    return writable_repository("instruct", token, FAST_RETRIES)


@pytest.fixture
def base(token: str, tmp_path: Path) -> Path:
    """A base in a folder, of which me/base is a copy."""
    folder = write_base(tmp_path / "base")
    api = HfApi(token=token)
    api.create_repo("me/base")
    api.upload_folder(repo_id="me/base", folder_path=folder)
    return folder
