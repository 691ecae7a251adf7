"""Chat templates: which one a model uses, which token ends a turn, and whether the template keeps what it is given."""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import cast

from jinja2 import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from trl.chat_template_utils import gemma3_training_chat_template, llama3_training_chat_template

from pipelines.errors import UserError
from pipelines.files import read_text, sha256_of_text

CHATML = (Path(__file__).parent / "templates" / "chatml.jinja").read_text(encoding="utf-8")

_PROBE_QUESTION, _PROBE_ANSWER = "probe question 7351", "probe answer 9042"

# A base without a template whose vocabulary reserves a family's marks gets that family's template, in TRL's variant for
# training. Qwen's and SmolLM's marks are ChatML's.
_FAMILIES = {
    ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"): llama3_training_chat_template,
    ("<start_of_turn>", "<end_of_turn>"): gemma3_training_chat_template,
}


def ensure_chat_template(tokenizer: PreTrainedTokenizerBase, chat_template_path: str | None = None) -> list[str]:
    """Give `tokenizer` the template of `chat_template_path` (a .jinja file, a tokenizer folder or a Hub id), else keep
    its own, else the one of its family, else ChatML; make the end of turn its EOS token and check that the template
    keeps the answer.

    Returns the template's special tokens whose embeddings the base cannot have learned, because the template is new to
    it: they must be trained. Tokens that the vocabulary lacks are added (the model's embeddings must then be resized).
    """
    own = tokenizer.chat_template
    if chat_template_path is not None:
        tokenizer.chat_template = _template_at(chat_template_path)
    elif own is None:
        tokenizer.chat_template = _family_template(tokenizer)
    new_tokens = [] if tokenizer.chat_template == own else _marks(tokenizer)
    missing = [token for token in new_tokens if token not in tokenizer.get_vocab()]
    if missing:
        tokenizer.add_special_tokens({"extra_special_tokens": missing}, replace_extra_special_tokens=False)
    _refuse_lossy_template(tokenizer)
    tokenizer.eos_token = end_token(tokenizer)
    return new_tokens


def end_token(tokenizer: PreTrainedTokenizerBase) -> str:
    """The token that the chat template puts directly after an answer.

    Raises `UserError` if what follows the answer is no single token of the vocabulary: such a turn could not be ended.
    """
    return _end_token(tokenizer, str(tokenizer.chat_template), len(tokenizer))


def wants_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer begins a text with its BOS token by itself."""
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("", add_special_tokens=True)["input_ids"][:1] == [bos]


def token_id_of(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """The id of one token of the vocabulary."""
    return cast(int, tokenizer.convert_tokens_to_ids(token))


def template_sha256(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Hex SHA-256 of the chat template's text, None without one."""
    return sha256_of_text(str(tokenizer.chat_template)) if tokenizer.chat_template else None


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hex SHA-256 of how text becomes ids: the vocabulary with its rules, and which tokens are the special ones. How
    long a text may be is left out, because each call may set that anew."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend is not None else {"vocabulary": tokenizer.get_vocab()}
    rules |= {"truncation": None, "padding": None, "special": tokenizer.special_tokens_map}
    return sha256_of_text(json.dumps(rules, sort_keys=True, default=str))


@lru_cache(maxsize=64)  # asked for each row; a template and its vocabulary do not change under a run
def _end_token(tokenizer: PreTrainedTokenizerBase, template: str, n_tokens: int) -> str:  # noqa: ARG001
    tail = _render_probe(tokenizer).rpartition(_PROBE_ANSWER)[2].lstrip()
    special = sorted(_special_tokens(tokenizer), key=len, reverse=True)
    found = next((token for token in special if tail.startswith(token)), None)
    if found is None:
        raise UserError(
            expected="a chat template that ends each answer with a special token",
            got=f"{tail[:40]!r} after the answer",
            remedy="end the assistant turn with eos_token in the template, or set chat_template_path to another one",
            finding="END_TOKEN_NOT_TRAINED",
        )
    return found


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    added = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    return [token for token in {*tokenizer.all_special_tokens, *added} if token]


# What a template raises on purpose and by mistake: Jinja runs its expressions as Python.
TEMPLATE_ERRORS = (TemplateError, TypeError, ValueError, LookupError, ArithmeticError)


def _render_probe(tokenizer: PreTrainedTokenizerBase) -> str:
    messages = [{"role": "user", "content": _PROBE_QUESTION}, {"role": "assistant", "content": _PROBE_ANSWER}]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False))
    except TEMPLATE_ERRORS as error:
        raise UserError(
            expected="a chat template that renders a question and an answer",
            got=" ".join(str(error).split())[:200],
            remedy="mend the template, or set chat_template_path to another one",
        ) from error


def _refuse_lossy_template(tokenizer: PreTrainedTokenizerBase) -> None:
    text = _render_probe(tokenizer)
    lost = [part for part in (_PROBE_QUESTION, _PROBE_ANSWER) if part not in text]
    question = [{"role": "user", "content": _PROBE_QUESTION}]
    prompt = str(tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True))
    if lost:
        raise UserError(
            expected="a chat template that keeps the user's text and the answer",
            got=f"a template that drops {' and '.join(lost)}",
            remedy="set chat_template_path to a template for instruction models",
            finding="TEMPLATE_DROPS_TEXT",
        )
    if not text.startswith(prompt + _PROBE_ANSWER):
        raise UserError(
            expected="a chat template whose prompt for serving is a prefix of the training text",
            got=f"{text[len(prompt) - 20 : len(prompt) + 20]!r} where the answer should begin",
            remedy="render the generation prompt exactly as the assistant header of a finished turn",
            finding="TRAINING_PROMPT_NOT_SERVED",
        )


def refuse_template_without_tools(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise `UserError` if the template drops the tools, the assistant's calls or their results; many do, silently."""
    lost = _lost_tool_parts(tokenizer, str(tokenizer.chat_template))
    if lost:
        raise UserError(
            expected="a chat template that keeps tools and tool calls, which the dataset has",
            got=f"one that drops {', '.join(lost)}",
            remedy="set chat_template_path to a template with tools, or leave these rows out",
            finding="TEMPLATE_DROPS_TOOLS",
        )


@lru_cache(maxsize=64)
def _lost_tool_parts(tokenizer: PreTrainedTokenizerBase, template: str) -> tuple[str, ...]:  # noqa: ARG001
    call = {"type": "function", "function": {"name": "probe_call_31", "arguments": {"probe_key": "probe value 77"}}}
    tool = {"type": "function", "function": {"name": "probe_tool_58", "description": "", "parameters": {}}}
    messages = [
        {"role": "user", "content": _PROBE_QUESTION},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "name": "probe_call_31", "content": "probe result 64"},
        {"role": "assistant", "content": _PROBE_ANSWER},
    ]
    try:
        text = str(tokenizer.apply_chat_template(messages, tools=[tool], tokenize=False))  # type: ignore[arg-type]
    except (TemplateError, TypeError) as error:
        return (f"them with the error {str(error)[:80]!r}",)
    parts = {"the tools": "probe_tool_58", "the calls": "probe value 77", "their results": "probe result 64"}
    return tuple(name for name, probe in parts.items() if probe not in text)


def _template_at(path: str) -> str:
    if path.endswith((".jinja", ".j2")):
        return read_text(Path(path))
    template = AutoTokenizer.from_pretrained(path).chat_template
    if template is None:
        raise UserError(
            expected=f"a tokenizer with a chat template at {path}",
            got="a tokenizer without one",
            remedy="point chat_template_path at an instruct model's tokenizer or a .jinja file",
        )
    return str(template)


def _family_template(tokenizer: PreTrainedTokenizerBase) -> str:
    vocabulary = tokenizer.get_vocab()
    family = next((text for marks, text in _FAMILIES.items() if all(mark in vocabulary for mark in marks)), None)
    # with BOS in the template's own text, plain `apply_chat_template` serves the prompt that was trained
    return family or ("{{- bos_token -}}\n" + CHATML if wants_bos(tokenizer) else CHATML)


def _marks(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The special tokens that the template writes, in order of appearance: those of the vocabulary, and new ones by
    their spelling, such as <|im_start|>. BOS is left out, since the base knows it."""
    text = _render_probe(tokenizer)
    known = [token for token in _special_tokens(tokenizer) if token in text and token != tokenizer.bos_token]
    return sorted({*known, *re.findall(r"<\|[A-Za-z0-9_]+\|>", text)} - {tokenizer.bos_token}, key=text.index)
