"""Requests of an OpenAI-compatible endpoint, and the answers as engines spell them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Call:
    """One request: a chat (`messages`), or a text or token ids to continue (`prompt`).

    `logprobs` is the number of tokens at each position whose log-probability is asked for: True or 1 the chosen one
    with the engine's first. `template_arguments` go to the chat template. `extra` fields are sent as they are.
    """

    messages: Sequence[Mapping[str, Any]] | None = None
    prompt: str | Sequence[int] | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    template_arguments: Mapping[str, Any] | None = None
    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float | None = None
    seed: int | None = None
    logprobs: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path after the endpoint's URL."""
        return "chat/completions" if self.prompt is None else "completions"

    def body(self, model: str | None) -> dict[str, Any]:
        """Return the request. What is not asked for is not sent: `transformers serve` refuses unknown fields."""
        asked: dict[str, Any] = {"model": model} if model else {}
        if self.prompt is None:
            asked |= {"messages": list(self.messages or [])}
        else:
            asked |= {"prompt": self.prompt if isinstance(self.prompt, str) else list(self.prompt)}
        asked |= {"temperature": self.temperature, "max_tokens": self.max_tokens}
        given = {"tools": self.tools, "chat_template_kwargs": self.template_arguments or None}
        asked |= {key: value for key, value in (given | {"top_p": self.top_p, "seed": self.seed}).items() if value}
        if self.seed == 0:
            asked["seed"] = 0
        if self.logprobs and self.prompt is None:
            asked |= {"logprobs": True, "top_logprobs": int(self.logprobs)}
        elif self.logprobs:
            asked |= {"logprobs": int(self.logprobs)}
        return {**asked, **self.extra}


class TokenLogprob(NamedTuple):
    """A token as the engine spells it: its bytes where it tells them, else its text; the id where it tells it."""

    token: bytes | str
    id: int | None
    logprob: float


@dataclass(frozen=True)
class Completion:
    """One answer. `logprobs` has the chosen token of each position, `top_logprobs` the likeliest ones, both None
    where the engine has none. `reasoning` and `tool_calls` are what the engine cut out of the text."""

    text: str
    finish_reason: str | None = None
    n_prompt_tokens: int | None = None
    n_tokens: int | None = None
    logprobs: list[TokenLogprob] | None = None
    top_logprobs: list[list[TokenLogprob]] | None = None
    token_ids: list[int] | None = None
    reasoning: str = ""
    tool_calls: list[Any] = field(default_factory=list)

    @property
    def tells_each_token(self) -> bool:
        """Whether the log-probability of each token is told, but for the end token, which some engines leave out.

        llama.cpp leaves out tokens that end inside a character, and tells the end token without a text.
        """
        told = self.logprobs or []
        has_untold_end = self.finish_reason != "length" and not (told and not told[-1].token)
        return len(told) >= (self.n_tokens or 0) - has_untold_end


def read_completion(answer: Any) -> Completion:
    """Return the first choice in an answer to a `Call`. Raises `ValueError` if there is none."""
    try:
        choice = answer["choices"][0]
        message = choice["message"] if "message" in choice else {"content": choice["text"]}
        content = message["content"] if "content" in message or not message.get("tool_calls") else None
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ValueError("no choices[0].message.content in the answer") from None
    usage = answer.get("usage") or {}
    chosen, top = _logprobs_of(choice.get("logprobs"))
    ids = choice.get("token_ids")
    if ids is None and chosen and all(one.id is not None for one in chosen):
        ids = [one.id for one in chosen]
    return Completion(
        content if isinstance(content, str) else "",
        choice.get("finish_reason"),
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        chosen,
        top,
        ids,
        message.get("reasoning_content") or message.get("reasoning") or "",
        message.get("tool_calls") or [],
    )


def _logprobs_of(found: Any) -> tuple[list[TokenLogprob] | None, list[list[TokenLogprob]] | None]:
    """Return the chosen and the likeliest tokens, in the form of chats (`content`) or of the older completions."""
    if not isinstance(found, dict):
        return None, None
    if isinstance(found.get("content"), list):
        positions = found["content"]
        return [_token(one) for one in positions], [
            [_token(t) for t in one.get("top_logprobs") or []] for one in positions
        ]
    if isinstance(found.get("tokens"), list):
        values = found.get("token_logprobs") or []
        chosen = [_older(text, value) for text, value in zip(found["tokens"], values, strict=False)]
        tops = found.get("top_logprobs") or []
        return chosen, [[_older(text, value) for text, value in (one or {}).items()] for one in tops]
    return None, None


def _token(found: Mapping[str, Any]) -> TokenLogprob:
    text, spelled = found.get("token", ""), found.get("bytes")
    if text.startswith("token_id:"):
        return TokenLogprob(text, int(text.removeprefix("token_id:")), found["logprob"])
    return TokenLogprob(text if spelled is None else bytes(spelled), found.get("id"), found["logprob"])


def _older(text: str, logprob: float | None) -> TokenLogprob:
    number = int(text.removeprefix("token_id:")) if text.startswith("token_id:") else None
    return TokenLogprob(text, number, 0.0 if logprob is None else logprob)
