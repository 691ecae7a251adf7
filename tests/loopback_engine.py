"""An OpenAI-compatible server on the loopback around a model of transformers, one request at a time: real HTTP and a
real model, in the milliseconds that a test has. It renders with `apply_chat_template` and answers with this project's
own generation, so a program must get through it what it gets in process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pipelines.inference.generation import SamplingPolicy, generate_answers
from pipelines.modeling import LoadedModel
from tests.http_server import JsonHandler, http_server


class LoopbackEngine:
    """The server's state: `bodies` has every request with its path, and after `n_left` answers it refuses."""

    def __init__(self, loaded: LoadedModel, n_left: int | None, echoes: bool) -> None:
        self.loaded, self.name, self.n_left, self.echoes = loaded, "served", n_left, echoes
        self.bodies: list[tuple[str, dict[str, Any]]] = []
        self.url = ""
        self._lock = threading.Lock()

    def answer(self, path: str, asked: dict[str, Any]) -> tuple[dict[str, Any], int]:
        with self._lock:
            self.bodies.append((path, asked))
            if self.n_left == 0:
                return {"error": "no more"}, 400
            self.n_left = None if self.n_left is None else self.n_left - 1
            return self._completion(path, asked), 200

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


@contextmanager
def loopback_engine(
    loaded: LoadedModel, *, n_left: int | None = None, echoes: bool = False
) -> Iterator[LoopbackEngine]:
    """Serve `loaded` while the context is open; with `echoes` it tells log-probabilities of prompts."""
    engine = LoopbackEngine(loaded, n_left, echoes)

    class Handler(JsonHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            listed = {"data": [{"id": engine.name, "owned_by": "tests"}]}
            self.send(*((listed, 200) if self.path == "/v1/models" else ({}, 404)))

        def do_POST(self) -> None:
            self.send(*engine.answer(self.path, self.body()))

    with http_server(Handler) as address:
        engine.url = f"{address}/v1"
        yield engine
