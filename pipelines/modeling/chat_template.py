"""Chat templates: choose one for a tokenizer, with its special tokens."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from transformers import AutoTokenizer, PreTrainedTokenizerBase
from trl.chat_template_utils import gemma3_training_chat_template, llama3_training_chat_template

from pipelines.errors import UserError
from pipelines.files import read_text, sha256_of_text
from pipelines.modeling.chat.end_tokens import TALK, end_token, end_tokens, rendered_turn, special_tokens
from pipelines.modeling.chat.template_input import ANSWER, CALLS, QUESTION, TEMPLATE_ERRORS, TOOL, apply_template

__all__ = [
    "CHATML", "end_token", "end_tokens", "ensure_chat_template", "spelled_marks", "template_sha256",
    "token_id_of", "tokenizer_sha256", "wants_bos",
]  # fmt: skip

CHATML = (Path(__file__).parent / "templates" / "chatml.jinja").read_text(encoding="utf-8")

# Special tokens in templates: <|im_start|>, <｜User｜>, <|turn>, <turn|>, <start_of_turn>.
_SPELLED_MARKS = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|<｜[^<>｜\s]{1,40}｜>|<\|\w{1,40}>|<\w{1,40}\|>|<(?:start|end)_of_\w{1,40}>"
)
_BRACKETED_MARKS = re.compile(r"\[/?INST\]")  # Llama 2's, which are plain text there
# The end of an answer, spelled as a special token: </s>, <end_of_turn>, [/INST].
_SPELLED_END = re.compile(r"\s*(<[^<>\s]{1,40}>|\[[^\[\]\s]{1,40}\])")

# A base without a template gets the one of its family, known by reserved tokens, in TRL's variant for training. Qwen
# and SmolLM use ChatML's tokens.
_FAMILIES = {
    ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"): llama3_training_chat_template,
    ("<start_of_turn>", "<end_of_turn>"): gemma3_training_chat_template,
}


def ensure_chat_template(tokenizer: PreTrainedTokenizerBase, chat_template_path: str | None = None) -> list[str]:
    """Set the template of `chat_template_path` (a .jinja file, a tokenizer folder or a Hub id), else keep the
    tokenizer's, else its family's, else ChatML; set EOS to the end of turn and check that the template keeps the
    answer.

    Returns the special tokens of a new template, whose embeddings the base has not learned: they must be trained.
    Tokens that the vocabulary lacks are added (the model's embeddings must then be resized).
    """
    own = tokenizer.chat_template
    if chat_template_path is not None:
        tokenizer.chat_template = _template_at(chat_template_path)
    elif own is None:
        tokenizer.chat_template = _family_template(tokenizer)
    _refuse_lossy_template(tokenizer)
    new_tokens = [] if tokenizer.chat_template == own else _marks(tokenizer)
    missing = [token for token in new_tokens if token not in tokenizer.get_vocab()]
    if missing:
        tokenizer.add_special_tokens({"extra_special_tokens": missing}, replace_extra_special_tokens=False)
    tokenizer.eos_token = end_token(tokenizer)
    return new_tokens


def wants_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer adds its BOS token to a text."""
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("", add_special_tokens=True)["input_ids"][:1] == [bos]


def spelled_marks(text: str) -> list[str]:
    """What is spelled like a special token of a turn in `text`, such as <|im_start|> and [INST]."""
    return [*_SPELLED_MARKS.findall(text), *_BRACKETED_MARKS.findall(text)]


def token_id_of(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """The id of one token of the vocabulary."""
    return cast(int, tokenizer.convert_tokens_to_ids(token))


def template_sha256(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Hex SHA-256 of the chat template's text, None without one."""
    return sha256_of_text(str(tokenizer.chat_template)) if tokenizer.chat_template else None


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hex SHA-256 of the vocabulary with its rules and special tokens. Truncation and padding are left out, because
    each call may set them."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend is not None else {"vocabulary": tokenizer.get_vocab()}
    rules |= {"truncation": None, "padding": None, "special": tokenizer.special_tokens_map}
    return sha256_of_text(json.dumps(rules, sort_keys=True, default=str))


def _template_at(path: str) -> str | dict[str, str]:
    if path.endswith((".jinja", ".j2")):
        return read_text(Path(path))
    alone = Path(path) / "chat_template.jinja"
    if alone.is_file() and not (Path(path) / "tokenizer_config.json").is_file():
        return read_text(alone)
    template = AutoTokenizer.from_pretrained(path).chat_template
    if template is None:
        raise UserError(
            f"the tokenizer at {path} has no chat template",
            "point chat_template_path at an instruct model's tokenizer or a .jinja file",
        )
    return cast("str | dict[str, str]", template)


def _family_template(tokenizer: PreTrainedTokenizerBase) -> str:
    vocabulary = tokenizer.get_vocab()
    family = next((text for marks, text in _FAMILIES.items() if all(mark in vocabulary for mark in marks)), None)
    # servers add no BOS to the template's text, so the template must write it
    return family or ("{{- bos_token -}}\n" + CHATML if wants_bos(tokenizer) else CHATML)


def _refuse_lossy_template(tokenizer: PreTrainedTokenizerBase) -> None:
    prompt, whole = rendered_turn(tokenizer)
    lost = [] if QUESTION in prompt and QUESTION in whole else ["the question"]
    lost += [] if ANSWER in whole else ["the answer"]
    if lost:
        raise UserError(
            f"the chat template drops {' and '.join(lost)}",
            "set chat_template_path to a template for instruct models",
            finding="TEMPLATE_DROPS_TEXT",
        )


def _marks(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Special tokens in the template, in order of appearance: those of the vocabulary, and new ones by their spelling,
    such as <|im_start|>. Without BOS and EOS, which the base knows."""
    text = "".join(_probe_texts(tokenizer))
    known = {token for token in special_tokens(tokenizer) if token in text}
    marks = {*known, *_SPELLED_MARKS.findall(text)}
    after = rendered_turn(tokenizer)[1].rpartition(ANSWER)[2]
    end = _SPELLED_END.match(after)
    if end is not None and not any(mark in after for mark in marks):
        marks.add(end.group(1))
    return sorted(marks - {tokenizer.bos_token, tokenizer.eos_token}, key=text.index)


def _probe_texts(tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """The template's text for a question, a thought, a tool call and an answer, as far as it supports them."""
    yield from rendered_turn(tokenizer)
    thoughtful = {**TALK[1], "reasoning_content": "probe thought 15"}
    for messages, tools in (([TALK[0], thoughtful], None), (CALLS, [TOOL])):
        try:
            yield apply_template(tokenizer, messages, tools)
        except TEMPLATE_ERRORS:
            continue
