"""Serve a GGUF file with llama.cpp on the loopback, in a process of its own."""

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines.errors import UserError

_PACKAGE = "xllamacpp"
_SMALL = 256 * 2**20  # bytes, computed faster by one thread
_CACHE_TYPES = {"f32": 0, "f16": 1}  # ggml's numbers


@dataclass(frozen=True)
class ServerOptions:
    """How llama.cpp serves: requests at once, tokens of context for each (at most what the model was trained on).

    llama.cpp keeps keys and values in 16 bits, and attention computes in them, unless `cache` is f32. `threads` 0 is
    one for a small file, else llama.cpp's own number: its threads wait for each other without sleeping, which takes
    minutes on a busy machine.
    """

    n_at_once: int = 1
    context: int = 2048
    threads: int = 0
    cache: str = "f16"


def has_llama_cpp() -> bool:
    """Whether the package with llama.cpp's server is installed."""
    return importlib.util.find_spec(_PACKAGE) is not None


def refuse_missing_llama_cpp(what: str) -> None:
    """Raise `UserError` if the package is not installed; `what` needs it."""
    if not has_llama_cpp():
        raise UserError(f"{what} needs llama.cpp ({_PACKAGE}), which is not installed", 'pip install -e ".[gguf]"')


def llama_cpp_version() -> str:
    """The version of the package, which names llama.cpp's build last: 2026.10.11549 is b11549."""
    return version(_PACKAGE)


@contextmanager
def llama_server(gguf: Path, options: ServerOptions = ServerOptions()) -> Iterator[str]:
    """Serve `gguf` at a free port of 127.0.0.1 while the context is open, and yield the URL that ends in /v1.

    The server ends with this process, however that ends. Raises `UserError` with llama.cpp's reason if it cannot load
    the file, or is not installed.
    """
    refuse_missing_llama_cpp("serving a GGUF file")
    with tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, "-m", __name__, json.dumps({"file": str(gguf), **asdict(options)})]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        with subprocess.Popen(command, text=True, **pipes) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                address = process.stdout.readline().strip()
                if not address:
                    process.wait()
                    raise UserError(f"llama.cpp does not load {gguf}: {_reason(log)}", "convert the model again")
                yield f"{address}/v1"
            finally:
                process.stdin.close()  # the process waits for this
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()


def _reason(log: Any) -> str:
    """Return the first error in llama.cpp's log, whose lines are `TIME LEVEL MESSAGE`."""
    log.seek(0)
    lines = log.read().splitlines()
    errors = [line.split(" E ", 1)[1].strip() for line in lines if " E " in line[:16]]
    return (errors or lines[-1:] or ["it ended without a message"])[0][:300]


def _serve(file: str, n_at_once: int, context: int, threads: int, cache: str) -> None:
    """Serve until standard input ends; the first line of standard output is the address."""
    import xllamacpp

    asked = xllamacpp.CommonParams()
    asked.model.path = file
    asked.n_parallel, asked.n_ctx, asked.kv_unified = n_at_once, context * n_at_once, False
    asked.cache_type_k = asked.cache_type_v = xllamacpp.ggml_type(_CACHE_TYPES[cache])
    if cache == "f32":
        asked.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    asked.fit_params = asked.ui = asked.warmup = False
    threads = threads or int(Path(file).stat().st_size < _SMALL)
    if threads:
        asked.cpuparams.n_threads = asked.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(asked)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve(**json.loads(sys.argv[1]))
