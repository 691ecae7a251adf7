"""An OpenAI-compatible server on the loopback around a model of transformers, one request at a time: real HTTP and a
real model, in the milliseconds that a test has. It renders with `apply_chat_template` and answers with this project's
own generation, so a program must get through it what it gets in process."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from pipelines.inference.generation import SamplingPolicy, generate_answers
from pipelines.modeling import LoadedModel


class LoopbackEngine:
    """The server's state: `bodies` has every request with its path, and after `n_left` answers it refuses."""

    def __init__(self, loaded: LoadedModel, name: str, n_left: int | None, echoes: bool) -> None:
        self.loaded, self.name, self.n_left, self.echoes = loaded, name, n_left, echoes
        self.bodies: list[tuple[str, dict[str, Any]]] = []
        self.url = ""
        self._lock = threading.Lock()

    def answer(self, path: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self.bodies.append((path, asked))
            if self.n_left == 0:
                return 400, {"error": "no more"}
            self.n_left = None if self.n_left is None else self.n_left - 1
            return 200, self._completion(path, asked)

    def _completion(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        tokenizer: Any = self.loaded.tokenizer
        if path.endswith("/chat/completions"):
            prompt = tokenizer.apply_chat_template(asked["messages"], add_generation_prompt=True, return_dict=False)
        else:
            prompt = asked["prompt"]
            prompt = tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt
            prompt = prompt[0] if isinstance(prompt[0], list) else prompt  # a batch of one, as lm-eval sends it
        if asked.get("echo"):
            return {"choices": [{"index": 0, "text": "", "logprobs": self._of_given_tokens(list(prompt))}]}
        policy = SamplingPolicy(
            asked["temperature"], asked.get("top_p", 1.0), 1, asked.get("seed", 0), asked["max_tokens"],
            (asked.get("stop") or [None])[0],
        )  # fmt: skip
        [[found]] = generate_answers(self.loaded, [prompt], policy)
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop" if found.stopped else "length"}
        choice |= {"message": {"role": "assistant", "content": found.text}} if "messages" in asked else {}
        choice |= {"text": found.text} if "prompt" in asked else {}
        if asked.get("logprobs"):
            choice["logprobs"] = {"content": [self._logprob(token_id) for token_id in found.token_ids]}
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(found.token_ids)}
        return {"model": self.name, "choices": [choice], "usage": usage}

    def _of_given_tokens(self, prompt: list[int]) -> dict[str, Any]:
        """As vLLM tells them: for each token of the prompt, and one that was generated, its own and the likeliest."""
        if not self.echoes:
            return {}
        with torch.inference_mode():
            logits = self.loaded.model(input_ids=torch.tensor([prompt])).logits[0].log_softmax(-1)
        own = logits[:-1].gather(1, torch.tensor(prompt)[1:, None])[:, 0].tolist()
        best = [{"best": one} for one in logits.max(-1).values.tolist()]
        return {
            "tokens": ["?"] * (len(prompt) + 1),
            "token_logprobs": [None, *own, best[-1]["best"]],
            "top_logprobs": [None, *best],
        }

    def _logprob(self, token_id: int) -> dict[str, Any]:
        token = {"id": token_id, "token": self.loaded.tokenizer.decode([token_id]), "logprob": 0.0}
        return token | {"top_logprobs": [token, token | {"id": 10, "logprob": -1.0}]}


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that has left is no error."""


@contextmanager
def loopback_engine(
    loaded: LoadedModel, name: str = "served", *, n_left: int | None = None, echoes: bool = False
) -> Iterator[LoopbackEngine]:
    """Serve `loaded` under `name` while the context is open; with `echoes` it tells log-probabilities of prompts."""
    engine = LoopbackEngine(loaded, name, n_left, echoes)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            listed = {"data": [{"id": name, "owned_by": "tests"}]}
            self._send(*((200, listed) if self.path == "/v1/models" else (404, {})))

        def do_POST(self) -> None:
            self._send(*engine.answer(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def _send(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        engine.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield engine
        finally:
            server.shutdown()
            thread.join()
