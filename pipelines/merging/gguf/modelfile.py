"""Write an Ollama Modelfile next to a GGUF file: its chat template in Go's syntax, end tokens, parameters."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from data_prep.conversation import Message
from pipelines.errors import UserError
from pipelines.files import write_text_atomically
from pipelines.modeling.chat.template_input import TEMPLATE_ERRORS, apply_template

_MAX_CONTEXT = 8192  # memory for the context is taken when the model is loaded
_SYSTEM, _ASKED, _ANSWERED, _NEXT = "probe system 1", "probe question 2", "probe answer 3", "probe question 4"
_SAMPLED = ("temperature", "top_p", "top_k", "min_p")


@dataclass(frozen=True)
class Turns:
    """A chat template as the text before and after each message. `begin` stands before a chat without a system
    message; the question after a system message has no text of its own before it, `after_system` holds it."""

    begin: str
    before_system: str
    after_system: str
    before_user: str
    after_user: str
    before_answer: str
    after_answer: str
    answer: str

    def render(self, messages: Sequence[Message]) -> str:
        """Return the prompt as Ollama renders `go_template`."""
        has_system = messages[0]["role"] == "system"
        text = "" if has_system else self.begin
        for number, message in enumerate(messages):
            match message["role"]:
                case "system":
                    text += self.before_system + message["content"] + self.after_system
                case "user":
                    before = "" if has_system and number == 1 else self.before_user
                    text += before + message["content"] + self.after_user
                case _:
                    text += self.before_answer + message["content"] + self.after_answer
        return text + self.answer

    def go_template(self) -> str:
        """Return the template for Ollama, which has `.Messages`, and the system message in `.System` too."""
        system = f'{{{{ if eq .Role "system" }}}}{self.before_system}{{{{ .Content }}}}{self.after_system}'
        first = f"{{{{ if not (and $.System (eq $i 1)) }}}}{self.before_user}{{{{ end }}}}"
        user = f'{{{{ else if eq .Role "user" }}}}{first}{{{{ .Content }}}}{self.after_user}'
        answer = f'{{{{ else if eq .Role "assistant" }}}}{self.before_answer}{{{{ .Content }}}}{self.after_answer}'
        begin = f"{{{{ if not .System }}}}{self.begin}{{{{ end }}}}" if self.begin else ""
        turns = f"{{{{ range $i, $_ := .Messages }}}}{system}{user}{answer}{{{{ end }}}}{{{{ end }}}}"
        return f"{begin}{turns}{self.answer}"


def read_turns(tokenizer: PreTrainedTokenizerBase, *, adds_bos: bool) -> Turns:
    """Return the chat template as text around messages; without the BOS that the GGUF's tokenizer `adds_bos`.

    Raises `UserError` for a template that is more than that: one that writes the date, counts turns, or has none.
    """
    bos = str(tokenizer.bos_token) if adds_bos else ""

    def rendered(*contents: str, ask: bool = True) -> str:
        return apply_template(tokenizer, _chat(*contents), None, add_generation_prompt=ask).removeprefix(bos)

    if not tokenizer.chat_template:
        raise UserError("the tokenizer has no chat template")
    if "strftime_now" in str(tokenizer.chat_template):
        raise UserError("the chat template writes the date")
    try:
        begin, after_user = _around(rendered(_ASKED, ask=False), _ASKED)
        _, after_answer = _around(rendered(_ASKED, _ANSWERED, ask=False), _ANSWERED)
        _, between, between_next, end = _around(rendered(_ASKED, _ANSWERED, _NEXT), _ASKED, _ANSWERED, _NEXT)
        before_user = between_next.removeprefix(after_answer)
        before_system, after_system, _ = _around(rendered(_SYSTEM, _ASKED), _SYSTEM, _ASKED)
    except (ValueError, *TEMPLATE_ERRORS) as error:
        raise UserError("the chat template does not write system text, question and answer once each") from error
    turns = Turns(
        begin.removesuffix(before_user), before_system, after_system, before_user, after_user,
        between.removeprefix(after_user), after_answer, end.removeprefix(after_user),
    )  # fmt: skip
    talk = (_ASKED, _ANSWERED, _NEXT)
    for contents in ((_ASKED,), talk, (_SYSTEM, _ASKED), (_SYSTEM, *talk)):
        if turns.render(_chat(*contents)) != rendered(*contents):
            raise UserError("the chat template writes more than one text around each message")
    if any("{{" in text or '"""' in text for text in vars(turns).values()):
        raise UserError('the chat template writes {{ or """, which a Modelfile cannot hold')
    return turns


def _chat(*contents: str) -> list[Any]:
    roles = ["system"] * (contents[0] == _SYSTEM) + ["user", "assistant", "user"]
    return [{"role": role, "content": text} for role, text in zip(roles, contents, strict=False)]


def _around(text: str, *parts: str) -> list[str]:
    """Return the pieces of `text` between `parts`, each of which it holds once. Raises `ValueError` if not."""
    found = []
    for part in parts:
        if text.count(part) != 1:
            raise ValueError(part)
        before, _, text = text.partition(part)
        found.append(before)
    return [*found, text]


def write_modelfile(
    gguf: Path, turns: Turns, end_tokens: Sequence[str], n_positions: int | None, generation: Mapping[str, Any]
) -> Path:
    """Write the Modelfile of `gguf` next to it, and return its path.

    `generation` is generation_config.json: without sampling there the temperature is 0; what it sets of temperature,
    top_p, top_k, min_p and the penalty of repetitions is taken over. Requests cannot set the penalty, and older Ollama
    has one of 1.1, which changes greedy answers: without one there it is 1, which is none.
    """
    lines = [f"FROM ./{gguf.name}", f'TEMPLATE """{turns.go_template()}"""']
    lines += [f"PARAMETER stop {json.dumps(end, ensure_ascii=False)}" for end in end_tokens]
    if n_positions is not None:
        lines.append(f"PARAMETER num_ctx {min(n_positions, _MAX_CONTEXT)}")
    lines.append(f"PARAMETER repeat_penalty {generation.get('repetition_penalty') or 1}")
    if generation.get("do_sample") is False:
        lines.append("PARAMETER temperature 0")
    elif generation.get("do_sample"):
        lines += [f"PARAMETER {name} {generation[name]}" for name in _SAMPLED if generation.get(name) is not None]
    path = gguf.with_name(f"{gguf.stem}.Modelfile")
    write_text_atomically(path, "\n".join(lines) + "\n")
    return path
