"""Faults between tokenizer and model: vocabularies of different sizes, ids that disagree, normalizers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from pipelines.records.finding import Finding
from tests.planted_faults.families import byte_level_tokenizer, change_json, save_own_tokenizer
from tests.planted_faults.faults.template import function_bodies
from tests.planted_faults.pair import Pair, template_text
from tests.planted_faults.sample_rows import code_rows, rows_in


def tokenizer_of_another_family() -> Pair:
    def change(base: Path) -> None:
        for path in (*base.glob("tokenizer*"), *base.glob("special_tokens_map.json")):
            path.unlink()
        save_own_tokenizer(byte_level_tokenizer(), base)

    return Pair(rows_in("english"), change_base=change)


def with_rows(base: Path, n_rows: int) -> None:
    """The base with `n_rows` rows of embeddings, as the files of a larger vocabulary have."""
    weights = load_file(base / "model.safetensors")
    for name, weight in weights.items():
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            torch.manual_seed(0)
            more = weight.new_empty(n_rows - len(weight), weight.shape[1]).normal_(0, 0.02)
            weights[name] = torch.cat([weight, more])
    save_file(weights, base / "model.safetensors", {"format": "pt"})


def tokenizer_of_a_smaller_model() -> Pair:
    def change(base: Path) -> None:
        with_rows(base, 1600)
        change_json(
            base / "config.json", lambda facts: facts.update(vocab_size=1600, bos_token_id=280, eos_token_id=290)
        )
        change_json(base / "generation_config.json", lambda facts: facts.update(bos_token_id=280, eos_token_id=290))

    return Pair(rows_in("english"), change_base=change)


def with_ids(config: Mapping[str, Any], generation: Mapping[str, Any]) -> Callable[[Path], None]:
    def change(base: Path) -> None:
        change_json(base / "config.json", lambda facts: facts.update(config))
        change_json(base / "generation_config.json", lambda facts: facts.update(generation))

    return change


def eos_of_another_model() -> Pair:
    """Llama 2's, which is the opening of a turn here."""
    return Pair(rows_in("english"), change_base=with_ids({"eos_token_id": 1}, {}))


def generation_that_stops_at_bos() -> Pair:
    return Pair(rows_in("english"), change_base=with_ids({}, {"eos_token_id": 0}))


def padding_outside_the_table() -> Pair:
    return Pair(rows_in("english"), change_base=with_ids({"pad_token_id": 32000}, {}))


def with_ids_of_the_tokenizer(pair: Pair, finding: Finding) -> Pair:
    """The ids that the remedy names, in both files."""
    named = json.loads("{" + finding.remedy.removeprefix("write ").partition(" into ")[0] + "}")
    before = pair.change_base

    def change(base: Path) -> None:
        if before is not None:
            before(base)
        with_ids(named, named)(base)

    return replace(pair, change_base=change)


def vocabulary_grown_in_the_config() -> Pair:
    return Pair(rows_in("english"), change_base=with_ids({"vocab_size": 768}, {}))


def weights_of_a_resized_base() -> Pair:
    return Pair(rows_in("english"), change_base=lambda base: with_rows(base, 384))


def _with_normalizer(normalizer: Mapping[str, Any]) -> Callable[[Path], None]:
    return lambda base: change_json(base / "tokenizer.json", lambda facts: facts.update(normalizer=normalizer))


def collapsed_spaces() -> Pair:
    spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    return Pair(code_rows(max_characters=600), change_base=_with_normalizer(spaces))


def stripped_accents() -> Pair:
    parts = {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]}
    return Pair(rows_in("german_french"), change_base=_with_normalizer(parts))


def stripped_indentation() -> Pair:
    """A tokenizer that strips each piece of text, with a template that does not."""
    strips = {"type": "Strip", "strip_left": True, "strip_right": False}
    rows = function_bodies()
    return Pair(rows, change_base=_with_normalizer(strips), template=template_text("llama3_without_trim"))
