"""Real servers: one `transformers serve` for all folders, one llama.cpp for each GGUF."""

import importlib.util
import os
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.served.taught import Taught, teach

os.environ["no_proxy"] = "127.0.0.1"


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Taught:
    return teach(tmp_path_factory.mktemp("taught"))


@pytest.fixture(scope="module")
def transformers_url() -> Iterator[str]:
    """`transformers serve` in a thread, which serves the folder that a request names."""
    if importlib.util.find_spec("openai") is None:
        pytest.skip('transformers serve needs `pip install -e ".[serving]"`')
    from transformers.cli.serve import Serve

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Serve(device="cpu", dtype="float32", host="127.0.0.1", port=port, non_blocking=True)
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            httpx.get(f"{url}/health")
            break
        except httpx.HTTPError:
            time.sleep(0.05)
    yield f"{url}/v1"
    server.kill_server()
