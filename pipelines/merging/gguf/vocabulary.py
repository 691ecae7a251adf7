"""What llama.cpp makes of a tokenizer.json: byte-level BPE under the name of its pre-tokenizer, or SentencePiece's
BPE; nothing else."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipelines.errors import UserError

# The names and regexes are those of src/llama-vocab.cpp (llm_tokenizer_bpe), in the spelling of tokenizer.json.
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_BYTES = ("ByteLevel", False, False)  # add_prefix_space, use_regex
_GPT2 = ("ByteLevel", False, True)
_CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+%(tail)s|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*%(tail)s|"
    r"\p{N}%(digits)s| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_WORDS = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%(digits)s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_QWEN35 = (
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NAMES: dict[tuple[Any, ...], str] = {
    (_WORDS % {"digits": ""}, _BYTES): "qwen2",
    (_QWEN35, _BYTES): "qwen35",
    (_WORDS % {"digits": "{1,3}"}, _BYTES): "smaug-bpe",  # "llama-bpe" takes a whole word before it merges
    (_GPT2,): "gpt-2",
    ("Digits", _GPT2): "smollm",
    (_CASED % {"tail": "", "digits": ""}, _BYTES): "tekken",
    (_CASED % {"tail": _CONTRACTIONS + "?", "digits": "{1,3}"}, _BYTES): "gpt-4o",
}
_WHOLE_WORDS_FIRST = {"smaug-bpe": "llama-bpe"}
# src/llama-vocab.cpp ends an answer at each of these, whatever the model's end tokens are, and reads each as one token
# in any text.
READ_AS_END = frozenset({
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
    "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[",
})  # fmt: skip
_GEMMA = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
_FIX = "serve the merged folder with an engine that reads tokenizer.json, such as vLLM or `transformers serve`"


class Model(StrEnum):
    """tokenizer.ggml.model: how llama.cpp merges."""

    BYTES = "gpt2"
    PIECES = "llama"


@dataclass(frozen=True)
class GgufVocabulary:
    """How llama.cpp reads a tokenizer; `pre` is the name of its pre-tokenizer. `space_prefix`: whether a space goes
    before a text, `only_chats` whether a text that is no chat lacks it, `notes` what it does otherwise."""

    model: Model
    pre: str
    space_prefix: bool = False
    only_chats: bool = False
    notes: tuple[str, ...] = ()


def gguf_vocabulary(content: Mapping[str, Any]) -> GgufVocabulary:
    """Return what llama.cpp makes of the `content` of a tokenizer.json.

    Raises `UserError` for a model, a regex or a normalizer that it does not have.
    """
    model, kind = content["model"], content["model"].get("type")
    if kind != "BPE":
        raise UserError(f"llama.cpp has no {kind} tokenizer as this tokenizer.json has it, only BPE", _FIX)
    if model.get("byte_fallback"):
        return _pieces(content)
    name = NAMES.get(_steps(content.get("pre_tokenizer")))
    if name is None:
        shown = json.dumps(content.get("pre_tokenizer"), ensure_ascii=False)
        shown = next((step for step in _steps(content.get("pre_tokenizer")) if isinstance(step, str)), shown)
        raise UserError(f"llama.cpp has no pre-tokenizer with the regex of this tokenizer: {shown[:200]}", _FIX)
    if model.get("ignore_merges"):
        name = _WHOLE_WORDS_FIRST.get(name, name)
    normalizer = (content.get("normalizer") or {}).get("type")
    if normalizer not in (None, "NFC"):
        raise UserError(f"llama.cpp does not apply this tokenizer's normalizer {normalizer}", _FIX)
    return GgufVocabulary(Model.BYTES, name, notes=("llama.cpp does not normalize to NFC",) if normalizer else ())


def _steps(pre_tokenizer: Mapping[str, Any] | None) -> tuple[Any, ...]:
    """Return the steps of a pre-tokenizer as `NAMES` has them; a step of another kind is itself."""
    if pre_tokenizer is None:
        return ()
    if pre_tokenizer["type"] == "Sequence":
        return tuple(step for part in pre_tokenizer["pretokenizers"] for step in _steps(part))
    match pre_tokenizer:
        case {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}:
            return (regex,)
        case {"type": "Digits", "individual_digits": True}:
            return ("Digits",)
        case {"type": "ByteLevel", "add_prefix_space": bool(prefix), "use_regex": bool(regex)}:
            return (("ByteLevel", prefix, regex),)
    return (json.dumps(pre_tokenizer, ensure_ascii=False),)


def _pieces(content: Mapping[str, Any]) -> GgufVocabulary:
    """SentencePiece's BPE: blanks are ▁, bytes stand for unknown characters, and nothing splits the text before."""
    normalizers, pre = _flat(content.get("normalizer"), "normalizers"), content.get("pre_tokenizer") or {}
    space_prefix = any(step == {"type": "Prepend", "prepend": "▁"} for step in normalizers)
    blank = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    unknown = [step["type"] for step in normalizers if step != blank and step["type"] != "Prepend"]
    if unknown:
        raise UserError(f"llama.cpp does not apply this tokenizer's normalizer {unknown[0]}", _FIX)
    _refuse_missing_merges(content["model"])
    scheme = pre.get("prepend_scheme") if pre.get("type") == "Metaspace" else None
    if scheme == "always":
        problem = (
            "this tokenizer (Metaspace) puts a space before texts that begin with none, llama.cpp before all texts"
        )
        raise UserError(problem, _FIX)
    if pre.get("type") == "Metaspace":
        space_prefix = False  # "first": none after the special token that begins a chat
    elif pre and pre != _GEMMA:
        raise UserError(f"llama.cpp splits no text before SentencePiece's BPE; this tokenizer: {pre['type']}", _FIX)
    notes = ("llama.cpp puts no space before a text that is no chat",) if scheme == "first" else ()
    return GgufVocabulary(Model.PIECES, "default", space_prefix, scheme == "first", notes)


def _refuse_missing_merges(model: Mapping[str, Any]) -> None:
    """llama.cpp merges any two pieces whose union is a piece, as SentencePiece does: each such pair must be a merge."""
    pairs = {_pair(merge) for merge in model["merges"]}
    for text in {"".join(pair) for pair in pairs}:
        for place in range(1, len(text)):
            parts = (text[:place], text[place:])
            if parts not in pairs and parts[0] in model["vocab"] and parts[1] in model["vocab"]:
                problem = f"llama.cpp merges {parts[0]!r} and {parts[1]!r} to {text!r}, which this tokenizer does not"
                raise UserError(problem, _FIX)


def _pair(merge: str | list[str]) -> tuple[str, str]:
    """Return the two parts of a merge, in the older form or the newer one of tokenizer.json."""
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def _flat(step: Mapping[str, Any] | None, key: str) -> list[Mapping[str, Any]]:
    if step is None:
        return []
    return [one for part in step[key] for one in _flat(part, key)] if key in step else [step]


def pieces_and_scores(content: Mapping[str, Any], n_tokens: int) -> list[tuple[bytes, float, str]]:
    """Return text, score and gguf's type of each of `n_tokens` tokens, for SentencePiece's BPE.

    llama.cpp merges the pair whose union has the highest score: minus the rank of its first merge. Its converter
    writes -1000 for all tokens of a tokenizer.json, which merges from the left.
    """
    model = content["model"]
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(model["merges"]):
        ranks.setdefault("".join(_pair(pair)), rank)
    found = [(f"[PAD{number}]".encode(), -1e6, "UNUSED") for number in range(n_tokens)]
    for text, number in model["vocab"].items():
        is_byte = len(text) == 6 and text.startswith("<0x") and text.endswith(">")
        kind = "BYTE" if is_byte else "UNKNOWN" if text == model.get("unk_token") else "NORMAL"
        found[number] = (text.encode(), -float(ranks.get(text, len(ranks))), kind)
    for token in content["added_tokens"]:
        if found[token["id"]][2] != "UNKNOWN":
            text = token["content"] if token["special"] else token["content"].replace("▁", " ")
            found[token["id"]] = (text.encode(), -1e6, "CONTROL" if token["special"] else "USER_DEFINED")
    return found
