"""The whole way: train, compare, merge, push, and a stranger's environment that has only the card to go by."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from tests.conftest import PROJECT
from tests.hub_server.server import LocalHub

pytestmark = pytest.mark.slow

BASE = PROJECT / "recipes/quickstart/base"
PROMPT = "Write a Python function find_max(numbers) that returns the largest number."
N_NEW_TOKENS = 48
TRAINING = (
    "--use_peft true --lora_r 8 --learning_rate 2e-3 --bf16 false --max_length 256 --max_steps 12 --logging_steps 4 "
    "--per_device_train_batch_size 8 --save_strategy no --eval_strategy no --report_to none --disable_tqdm true"
)


def run(*command: str | Path, environment: dict[str, str] | None = None, cwd: Path = PROJECT) -> str:
    done = subprocess.run([str(word) for word in command], env=environment, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new virtual environment with transformers, peft and torch from the package index."""
    folder = tmp_path_factory.mktemp("stranger")
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "-c", PROJECT / "constraints.txt", "transformers", "peft", "torch")
    return python


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalHub, str, Path]]:
    """A hub with the run me/instruct and its base, the token, and the folder that the run lies in."""
    folder = tmp_path_factory.mktemp("way")
    python, rows, instruct = sys.executable, folder / "rows", folder / "instruct"
    sources = ("--source", PROJECT / "pipelines/evaluation", "--source", PROJECT / "pipelines/files")
    run(python, "data_prep/build_instructions.py", *sources, "--max_output_chars", "400", "--output", rows)
    run(python, "pipelines/sft.py", "--model_name_or_path", BASE, "--dataset_name", rows, "--output_dir", instruct,
        *TRAINING.split())  # fmt: skip
    run(python, "pipelines/compare.py", "--base", BASE, "--instruct", instruct, "--prompts", rows, "--prompt", PROMPT,
        "--limit", "8", "--num_samples", "1", "--max_new_tokens", str(N_NEW_TOKENS),
        "--output", folder / "comparison")  # fmt: skip
    run(python, "pipelines/merge.py", "--adapter", instruct, "--output", folder / "merged", "--prompts", rows,
        "--limit", "4", "--max_new_tokens", "16")  # fmt: skip
    with LocalHub(folder / "hub") as hub, pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        token = hub.add_user("me")
        api = HfApi(endpoint=hub.url, token=token)
        api.create_repo("me/base")
        api.upload_folder(repo_id="me/base", folder_path=BASE)
        run(python, "pipelines/push.py", instruct, "--repo_id", "me/instruct", "--base_model", "me/base",
            "--comparison", folder / "comparison", "--merged", folder / "merged",
            environment=hub.environment(token))  # fmt: skip
        yield hub, token, folder


def answer_of(model: str | Path, prompt: str, *flags: str, **options: dict[str, str]) -> str:
    """What generate.py answers, greedily."""
    said = run(sys.executable, "pipelines/generate.py", "--model_name_or_path", model, "--prompt", prompt,
               "--max_new_tokens", str(N_NEW_TOKENS), *flags, **options)  # fmt: skip
    return said.partition("--- answer 1 of 1")[2].partition("\n")[2].rstrip()


def test_a_stranger_gets_the_same_answer_by_the_cards_snippet(pushed, stranger, tmp_path):
    hub, token, folder = pushed
    card = hub.repository("me/instruct").files()["README.md"].decode()
    [snippet] = re.findall(r"```python\n(.*?from_pretrained.*?)```", card, re.DOTALL)
    assert "me/instruct" in snippet
    assert PROMPT in snippet
    (tmp_path / "snippet.py").write_text(snippet)
    said = run(stranger, "snippet.py", environment=hub.environment(token), cwd=tmp_path)
    packages = run(stranger, "-m", "pip", "list", "--format", "freeze")
    assert "trl==" not in packages
    assert "base2instruct" not in packages
    expected = answer_of(folder / "instruct", PROMPT)
    assert expected
    assert expected != answer_of(BASE, PROMPT)
    assert said.rstrip() == expected


def test_the_merged_branch_answers_without_peft(pushed):
    hub, token, folder = pushed
    there = hub.repository("me/instruct").files("merged")
    assert {"model.safetensors", "config.json", "merge.json", "README.md"} <= there.keys()
    by_the_hub = answer_of("me/instruct@merged", PROMPT, environment=hub.environment(token))
    assert by_the_hub == answer_of(folder / "merged", PROMPT)


def test_transformers_serve_answers_from_the_merged_folder(pushed, tmp_path):
    _, _, folder = pushed
    run(sys.executable, "-m", "pip", "install", "--quiet", "-c", PROJECT / "constraints.txt",
        "--target", tmp_path / "packages", "fastapi", "openai", "pydantic", "uvicorn")  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asked = {
        "model": str(folder / "merged"), "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": N_NEW_TOKENS, "temperature": 0,
    }  # fmt: skip
    server = subprocess.Popen(
        [Path(sys.executable).parent / "transformers", "serve", "--port", str(port), "--device", "cpu",
         "--dtype", "float32"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path / "packages")},
    )  # fmt: skip
    try:
        _wait_for(port)
        url, kind = f"http://127.0.0.1:{port}/v1/chat/completions", {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(asked).encode(), kind)) as answer:
            said = json.load(answer)["choices"][0]["message"]["content"]
    finally:
        server.terminate()
        server.wait(30)
    assert said.rstrip() == answer_of(folder / "merged", PROMPT, "--dtype", "float32")


def _wait_for(port: int, seconds: int = 120) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(1)
