"""A served model for lm-evaluation-harness, through its own clients of OpenAI-compatible servers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import aiohttp

from pipelines.endpoint.client import Endpoint
from pipelines.endpoint.completion import Call
from pipelines.endpoint.connection import CallFailed
from pipelines.errors import UserError
from pipelines.hub.pulling import local_copy
from pipelines.inference.served_model import ServedModel
from pipelines.modeling.assistant_masks import wants_bos

_N_PROBED = 3


def refuse_unservable(name: str, endpoint: Endpoint, likelihood_tasks: Sequence[str]) -> None:
    """Raise `UserError` if there are tasks that need the likelihood of given text, and the server of the model `name`
    tells none."""
    if likelihood_tasks and not _tells_likelihoods(endpoint):
        raise UserError(
            f"{', '.join(likelihood_tasks)} needs log-probabilities of given text, which the server of {name} "
            f"({endpoint.engine()}) does not tell",
            "choose tasks that generate text (output_type: generate_until), or leave --engine out for that model",
        )


def as_served_harness_model(served: ServedModel, tasks: Mapping[str, Any], seed: int, *, with_template: bool) -> Any:
    """The harness's client for the server. Generated text is asked for as users ask: messages of a chat, or text. If a
    task needs likelihoods, token ids are sent, rendered by the trained model's tokenizer."""
    from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI

    needs_ids, endpoint = bool(likelihood_tasks(tasks)), served.endpoint
    is_chat = with_template and not needs_ids
    settings = {is_sampled: served.settings(is_sampled=is_sampled) for is_sampled in (False, True)}
    client: Any = LocalChatCompletion if is_chat else LocalCompletionsAPI

    class Client(client):
        """Turns off the engine's own sampling settings."""

        def _create_payload(self, *messages: Any, **options: Any) -> dict[str, Any]:
            asked: dict[str, Any] = super()._create_payload(*messages, **options)
            return asked | settings[asked["temperature"] > 0]

    tokenizer: dict[str, Any] = {"tokenizer_backend": None, "tokenized_requests": False}
    if needs_ids:
        folder = str(local_copy(*served.ref.tokenizer_source).folder)
        adds_bos = wants_bos(served.tokenizer) and not with_template
        tokenizer = {"tokenizer_backend": "huggingface", "tokenizer": folder, "add_bos_token": adds_bos}
    return Client(
        base_url=f"{endpoint.url}/{'chat/' if is_chat else ''}completions",
        model=endpoint.asked_model,
        num_concurrent=endpoint.n_at_once,
        max_length=served.max_positions or 2048,
        seed=seed,
        timeout=int(endpoint.max_seconds),
        header={"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {"Accept": "application/json"},
        **tokenizer,
    )


@contextmanager
def one_line_server_errors(name: str) -> Iterator[None]:
    """Turn what the harness's client raises after its tries into a `UserError` that names the model."""
    try:
        yield
    except aiohttp.ClientError as error:
        said = " ".join(str(error).split())[:300]
        fix = "look into the server's log; a context that is shorter than the prompts is the usual reason"
        raise UserError(f"the server of {name} failed: {type(error).__name__}: {said}", fix) from error


def likelihood_tasks(tasks: Mapping[str, Any]) -> list[str]:
    """The names of the loaded tasks that need the likelihood of given text."""
    return [name for name, task in tasks["tasks"].items() if task.OUTPUT_TYPE != "generate_until"]


def _tells_likelihoods(endpoint: Endpoint) -> bool:
    """Whether the server repeats a prompt with log-probabilities, as the harness asks for them."""
    probe = Call(prompt="one two three four", max_tokens=1, logprobs=1, extra={"echo": True})
    try:
        [found] = replace(endpoint, max_tries=1).many([probe])
    except CallFailed:
        return False
    return len(found.logprobs or ()) > _N_PROBED
