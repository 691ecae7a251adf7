"""One hub and one real client for all tests of the server: each test has repositories of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import LocalHub
from tests.hub_server.real_client import RealClient

SMALL = {
    "README.md": b"---\nlicense: mit\ntags: [test]\n---\n# A thing\n",
    "config.json": b"{}",
    "sub/notes.txt": b"a\n",
}
LARGE = {"one.safetensors": b"one part", "sub/many.safetensors": bytes(range(256)) * 10}  # 8 and 2560 bytes
FILES = {**SMALL, **LARGE}


@pytest.fixture(scope="package")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    """Parts of 1000 bytes and pages of two entries, so that small files take the ways of large ones."""
    with LocalHub(tmp_path_factory.mktemp("hub"), part_bytes=1000, tree_page_size=2) as hub:
        yield hub


@pytest.fixture(scope="package")
def ann(hub: LocalHub) -> str:
    """The token of the user that the client is logged in as."""
    return hub.add_user("ann")


@pytest.fixture(scope="package")
def client(hub: LocalHub, ann: str) -> Iterator[RealClient]:
    """The real client, ann's; it gives up a body that stands still for a second."""
    with RealClient({**hub.environment(ann), "HF_HUB_DOWNLOAD_TIMEOUT": "1"}) as client:
        yield client


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`FILES` on disk."""
    folder = tmp_path_factory.mktemp("folder")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="package")
def thing(hub: LocalHub, client: RealClient, folder: Path) -> str:
    """A public repository with `FILES` on main."""
    client.run(
        "api.create_repo('ann/thing'); api.upload_folder(repo_id='ann/thing', folder_path=folder)", folder=str(folder)
    )
    assert hub.repository("ann/thing").branches
    return "ann/thing"
