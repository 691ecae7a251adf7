"""Fixtures for all rooms: real data where there is some, a tiny real model, the programs as a user runs them."""

import inspect
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.program_server import ProgramServer

PROJECT = Path(__file__).resolve().parents[1]

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: a second thread costs more than it brings
os.environ.setdefault("TRACKIO_DIR", tempfile.mkdtemp(prefix="trackio-"))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case by its argument where that is bytes: spelled out, those of gzip hold the second they were made in,
    and two processes would collect different tests."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no process waits for one of them at the end."""
    longest = ("test_readme.py", "test_recipes.py", "test_training_programs.py", "test_micro_batches.py")
    items.sort(key=lambda item: longest.index(item.path.name) if item.path.name in longest else len(longest))


@contextmanager
def _environment_kept() -> Iterator[None]:
    """What a test, or a library that it is the first to import, leaves in the environment ends with it: the program
    server serves as long as its own environment is everybody's."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    with _environment_kept():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
    """A recipe that a fixture of many tests parses sets ACCELERATE_MIXED_PRECISION. A fixture that means to change the
    environment yields, and changes it back."""
    made_once = fixturedef.scope != "function" and not inspect.isgeneratorfunction(fixturedef.func)
    with _environment_kept() if made_once else nullcontext():
        return (yield)


RunCli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real rows, tokenizers and models, which are never part of the project."""
    folder = Path(os.environ.get("BASE2INSTRUCT_SHARED_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set BASE2INSTRUCT_SHARED_DATA to a folder that holds it")
    return folder


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers with a byte-level BPE tokenizer and a ChatML template, as transformers saves it."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from pipelines.modeling import CHATML

    folder = tmp_path_factory.mktemp("models") / "tiny"
    special = ["<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(["def find_max(numbers):\n    return max(numbers)\n"] * 8, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=special[0],
        pad_token=special[1],
        extra_special_tokens=special[2:],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHATML
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def program_server() -> Iterator[ProgramServer]:
    """Starts with the first program that asks for it; the imports of a training program take 6 s of CPU."""
    with ProgramServer(PROJECT) as server:
        yield server


@pytest.fixture(scope="session")
def run_cli(request: pytest.FixtureRequest) -> RunCli:
    """Run a program in a process of its own, `run_cli("pipelines/sft.py", "--config", ...)`, asserting its exit code;
    or in two ranks (`n_processes`), as accelerate_configs/cpu_ddp.yaml would start them.

    The processes are forked from one that has imported the libraries, unless the environment has changed since. As a
    user starts them, cold, the programs are run by tests/test_readme.py.
    """

    def run(
        *arguments: str | Path, expect: int = 0, cwd: Path = PROJECT, n_processes: int = 1
    ) -> "subprocess.CompletedProcess[str]":
        program, *rest = [str(argument) for argument in arguments]
        server: ProgramServer = request.getfixturevalue("program_server")
        if server.serves() or n_processes > 1:
            done = server.run(PROJECT / program, rest, cwd, n_processes)
        else:
            command = [sys.executable, str(PROJECT / program), *rest]
            done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)
        said = f"exit code {done.returncode}, expected {expect}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == expect, said
        return done

    return run


def one_line_error(done: "subprocess.CompletedProcess[str]") -> str:
    """The one line on stderr that a refused program leaves, without library notices before it."""
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert done.stderr.rstrip().splitlines()[-1] == lines[0]
    return lines[0]
