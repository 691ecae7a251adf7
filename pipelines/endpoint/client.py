"""An OpenAI-compatible endpoint: llama.cpp's server, vLLM, `transformers serve`, mlx-lm, Ollama, a hosted service."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from pipelines.endpoint.completion import Call, Completion, read_completion
from pipelines.endpoint.connection import CallFailed, Connection
from pipelines.errors import UserError

T = TypeVar("T")

API_KEY_VARIABLE = "ENDPOINT_API_KEY"
_START = "start one, such as `llama-server -m MODEL.gguf`, `vllm serve MODEL` or `transformers serve MODEL`"


@dataclass(frozen=True)
class Endpoint(Connection):
    """An endpoint by its URL, which ends before /chat/completions; "/v1" is added to a URL without a path.

    `model` None is the one model that the endpoint lists. `transformers serve MODEL` lists none: then no name is sent.
    """

    model: str | None = None
    n_at_once: int = 16
    model_flag: str = "--model"

    @classmethod
    def with_key_from_environment(cls, url: str, model: str | None = None, **options: Any) -> "Endpoint":
        """Return the endpoint with the key in its environment variable, or without one if it is unset."""
        variable = options.get("key_variable", API_KEY_VARIABLE)
        return cls(url, model, api_key=os.environ.get(variable, "").strip() or None, **options)

    def models(self) -> list[str]:
        """Return the names of the models that the endpoint lists. Raises `UserError` if no server answers."""
        return [str(one["id"]) for one in self._listed() if isinstance(one, dict) and "id" in one]

    def check(self) -> None:
        """Raise `UserError` if no server answers, or the model is not in its list."""
        listed = self.models()
        if self.model is not None and listed and self.model not in listed:
            raise UserError(f"{self.host} has no model {self.model!r}", f"it lists {', '.join(listed[:8])}")
        if self.asked_model is None and self.engine() == "unknown":
            raise UserError(f"{self.host} lists no model", f"name one with {self.model_flag}")

    @cached_property
    def asked_model(self) -> str | None:
        """The model's name in requests. Raises `UserError` if several are listed and none is named."""
        if self.model is not None:
            return self.model
        listed = self.models()
        if len(listed) > 1:
            raise UserError(
                f"{self.host} serves {len(listed)} models", f"name one with {self.model_flag}: {', '.join(listed[:8])}"
            )
        return listed[0] if listed else None

    def chat(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> Completion:
        """Return the answer to a conversation; `options` are the fields of `Call`."""
        return self.many([Call(messages=messages, **options)])[0]

    def many(
        self, calls: Sequence[Call], finished: Callable[[int, Completion], None] | None = None
    ) -> list[Completion]:
        """Return the answers in order, `n_at_once` calls in flight; `finished` gets the place of each call and its
        answer as soon as it is there. Raises `UserError` for the first that fails, with its number."""
        model = self.asked_model
        requests = [(f"{self.url}/{one.path}", one.body(model)) for one in calls]

        def read(answer: Any) -> Completion:
            found = read_completion(answer)
            return replace(found, text=self.without_key(found.text))  # escaped twice in JSON that a judge wrote

        return asyncio.run(self._all(requests, read, finished))

    async def _all(
        self,
        requests: Sequence[tuple[str, dict[str, Any]]],
        read: Callable[[Any], T],
        finished: Callable[[int, T], None] | None = None,
    ) -> list[T]:
        in_flight = asyncio.Semaphore(self.n_at_once)

        async def one(number: int, url: str, body: dict[str, Any]) -> T:
            async with in_flight:
                try:
                    answer = await self.call(client, url, body, read)
                except CallFailed as error:
                    place = f"call {number} of {len(requests)}: " if len(requests) > 1 else ""
                    raise CallFailed(f"{place}{error}") from error
            if finished is not None:
                finished(number - 1, answer)
            return answer

        async with self.client() as client:
            return await asyncio.gather(*(one(number, *request) for number, request in enumerate(requests, 1)))

    def tokenize(self, text: str, add_special: bool = False) -> list[int] | None:
        """Return the token ids of `text`, None if the endpoint has no /tokenize. Special tokens in the text are read
        as such, as transformers reads them."""
        found = self.tokenize_all([text], add_special)
        return found[0] if found is not None else None

    def tokenize_all(self, texts: Sequence[str], add_special: bool = False) -> list[list[int]] | None:
        """Return the token ids of each text, None if the endpoint has no /tokenize: vLLM reads `prompt`, llama.cpp
        `content`."""
        if self.engine().startswith("vLLM"):
            bodies = [{"model": self.asked_model, "prompt": one, "add_special_tokens": add_special} for one in texts]
        else:
            bodies = [{"content": one, "add_special": add_special, "parse_special": True} for one in texts]
        return self._beside("tokenize", bodies, lambda answer: list(answer["tokens"]))

    def rendered(self, conversations: Sequence[Sequence[Mapping[str, Any]]]) -> list[str] | list[list[int]] | None:
        """Return the prompt of each conversation in the endpoint's own chat template: its text (llama.cpp) or its
        token ids (vLLM), None if the endpoint does not tell it."""
        if self.engine().startswith("vLLM"):
            bodies = [{"model": self.asked_model, "messages": list(one)} for one in conversations]
            return self._beside("tokenize", bodies, lambda answer: list(answer["tokens"]))
        bodies = [{"messages": list(one)} for one in conversations]
        return self._beside("apply-template", bodies, lambda answer: str(answer["prompt"]))

    def _beside(self, path: str, bodies: Sequence[dict[str, Any]], read: Callable[[Any], T]) -> list[T] | None:
        """Return the answers of a path beside /v1, None if the server has no such path."""

        def found(answer: Any) -> T:
            try:
                return read(answer)
            except (KeyError, TypeError):
                raise ValueError(f"/{path} answers in an unknown form") from None

        requests = [(f"{self._root}/{path}", body) for body in bodies]
        try:
            first = asyncio.run(self._all(requests[:1], found))  # alone: it shows whether there is such a path
            return first + asyncio.run(self._all(requests[1:], found))
        except CallFailed:
            raise
        except UserError:  # 404 or 405
            return None

    def engine(self) -> str:
        """Return what answers, with its version where it tells it: "llama.cpp b1234", "vLLM 0.33.0"."""
        return self._engine

    def bits_per_weight(self) -> float | None:
        """Return how many bits a weight has on average, None where the endpoint does not tell (all but llama.cpp)."""
        named = [one for one in self._listed() if self.model in (None, one.get("id"))]
        meta = named[0].get("meta") if named else None
        size, n_params = (meta.get("size"), meta.get("n_params")) if isinstance(meta, dict) else (None, None)
        return 8 * size / n_params if isinstance(size, int) and isinstance(n_params, int) and n_params > 0 else None

    @cached_property
    def _engine(self) -> str:
        owner = str((self._listed() or [{}])[0].get("owned_by", ""))
        if owner == "llamacpp":
            build = str(self._facts("props").get("build_info", "")).split("-")[0]
            return f"llama.cpp {build}".strip() if build != "b0" else "llama.cpp"  # b0: built without its number
        if owner in ("vllm", "sglang"):
            name = {"vllm": "vLLM", "sglang": "SGLang"}[owner]
            return f"{name} {self._facts('version').get('version', '')}".strip()
        if (version := self._facts("api/version").get("version")) is not None:
            return f"Ollama {version}"
        paths = self._facts("openapi.json").get("paths") or {}
        return "transformers serve" if "/load_model" in paths and "/reset" in paths else "unknown"

    def _facts(self, path: str) -> dict[str, Any]:
        """Return the JSON object of a path beside /v1, empty if there is none."""
        found = self._get(f"{self._root}/{path}")
        return found if isinstance(found, dict) else {}

    @property
    def _root(self) -> str:
        """The server's address: what is not OpenAI's is beside /v1, not below."""
        return self.url.removesuffix("/v1")

    @cached_property
    def _models_answer(self) -> Any:
        return self._get(f"{self.url}/models", must_answer=True)

    def _listed(self) -> list[dict[str, Any]]:
        answer = self._models_answer
        found = answer.get("data") if isinstance(answer, dict) else None
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    def _get(self, url: str, must_answer: bool = False) -> Any:
        """Return the JSON at `url`, None if there is none; one short try."""
        asking = replace(self, max_tries=1, max_seconds=min(self.max_seconds, 20.0))

        async def ask() -> Any:
            async with asking.client() as client:
                return await asking.call(client, url)

        try:
            return asyncio.run(ask())
        except CallFailed as error:
            if must_answer and "HTTP 5" not in error.problem:  # `transformers serve` without a Hub cache: 500
                reason = error.problem.removeprefix(f"{self.host}: ")
                raise UserError(
                    f"no server answers at {self.url}: {reason}", f"{_START}, or correct {self.url_flag}"
                ) from error
        except UserError:
            if must_answer:
                raise
        return None
