"""The proof of a merge: the merged folder, opened by transformers alone, against the base with its adapter unmerged."""

import errno
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import PreTrainedTokenizerBase

from pipelines.errors import AnswerIsNo, UserError
from pipelines.files import read_json
from pipelines.merging import reload_check
from pipelines.merging.adapter_mix import AdapterMix
from pipelines.merging.divergence import Divergence, divergence
from pipelines.merging.held_out_rows import HeldOutRows
from pipelines.merging.merge_into_base import Written
from pipelines.merging.reference import load_reference, quantization_of_training, round_off_grid
from pipelines.merging.reload_check import facts_of, greedy_answers, write_logits

MAX_KL = 1e-5  # nats a token, of weights written in float32

# What the rounding of the merged weights may cost, in what one rounding of the base's costs on the same rows.
_TIMES_ROUNDING = 4.0

# Two texts may part where two tokens were as good as equal: within twice what the logits differ by, and this much.
_TIE = 1e-4

Reader = Callable[[Path, dict[str, Any]], None]


@dataclass(frozen=True)
class Subject:
    """What was merged, and where it was written."""

    mix: AdapterMix
    base: str
    folder: Path
    written: Written
    tokenizer: PreTrainedTokenizerBase
    base_dtype: torch.dtype
    revision: str | None = None


@dataclass(frozen=True)
class Proof:
    """The figures. `rounding` is what rounding alone costs, None for float32; `quantized` is measured from the
    quantized base that the adapter was trained on; `n_equal` of `n_texts` greedy answers are equal, token by token."""

    measured: Divergence
    max_kl: float
    n_texts: int
    n_equal: int
    source: str
    rounding: Divergence | None
    quantized: Divergence | None

    def to_json(self) -> dict[str, Any]:
        """The figures as merge.json holds them."""
        return {
            **self.measured.to_json(),
            "max_kl": self.max_kl,
            "n_texts": self.n_texts,
            "n_texts_equal": self.n_equal,
            "rows": self.source,
            "rounding_alone": self.rounding.to_json() if self.rounding else None,
            "from_quantized_base": self.quantized.to_json() if self.quantized else None,
        }

    def line(self) -> str:
        """The figures in one line."""
        figures = self.measured
        said = (
            f"KL {figures.kl_mean:.2e} nats a token (largest {figures.kl_max:.2e}, at most {self.max_kl:.2e} allowed), "
            f"largest logit difference {figures.max_logit_difference:.2e}, same first token at "
            f"{figures.top1_agreement:.2%} of {figures.n_tokens} tokens, {self.n_equal} of {self.n_texts} greedy texts "
            f"equal ({self.source})"
        )
        if self.quantized is not None:
            said += f"; KL {self.quantized.kl_mean:.2e} from the quantized base that it was trained on"
        return said


def prove(
    subject: Subject,
    rows: HeldOutRows,
    *,
    max_new_tokens: int,
    max_kl: float | None = None,
    reader: Reader | None = None,
) -> Proof:
    """The figures of a merge that holds. `reader` opens the folder, by default in a fresh process.

    Without `max_kl` the mean KL may be `MAX_KL` in float32, in 16 bits a few times what rounding alone costs. Raises
    `AnswerIsNo`, with the figures, if it is more, if a text differs that should not, or if the folder is incomplete.
    """
    with tempfile.TemporaryDirectory(prefix="merge-proof-", dir=subject.folder.parent) as name:
        place = Path(name)
        request = {
            "folder": str(subject.folder), "output": str(place / "merged"), "rows": rows.rows, "prompts": rows.prompts,
            "messages": rows.messages[:5], "max_new_tokens": max_new_tokens,
        }  # fmt: skip
        try:
            (reader or in_fresh_process)(place, request)
            facts = read_json(place / "merged" / "facts.json")
            return _compare(subject, rows, place, facts, max_new_tokens, max_kl)
        except SafetensorError as error:
            raise _no_room(place, str(error)) from error


def in_fresh_process(place: Path, request: dict[str, Any]) -> None:
    """Let `reading_back` answer `request` in a process of its own. Raises `AnswerIsNo` if it cannot."""
    file = place / "request.json"
    file.write_text(json.dumps(request), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", str(reload_check.__file__), str(file)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no word"]
        if os.strerror(errno.ENOSPC) in last[0]:
            raise _no_room(place, last[0])
        raise AnswerIsNo(f"transformers cannot read the merged model back: {last[0][:300]}")


def _no_room(place: Path, said: str) -> UserError:
    return UserError(
        expected=f"room in {place.parent} for the logits that the proof compares",
        got=" ".join(said.split())[:200],
        remedy="make room, set a smaller --limit, or choose another --output",
    )


def _compare(
    subject: Subject, rows: HeldOutRows, place: Path, facts: dict[str, Any], max_new_tokens: int, max_kl: float | None
) -> Proof:
    reference = load_reference(subject.mix, subject.base, subject.tokenizer, revision=subject.revision)
    _refuse_other_facts(subject, rows, reference, facts)
    write_logits(reference, rows.rows, place / "reference")
    measured = divergence(place / "reference", place / "merged", len(rows.rows))
    answers = greedy_answers(reference, rows.prompts, max_new_tokens)
    parted = [n for n, pair in enumerate(zip(answers, facts["answers"], strict=True)) if pair[0] != pair[1]]
    apart = 0.0
    if subject.written.dtype is torch.float32:
        rounding = None
        apart = max((_gap(reference, rows.prompts[n], answers[n], facts["answers"][n]) for n in parted), default=0.0)
    else:
        everything = subject.base_dtype.itemsize > subject.written.dtype.itemsize
        round_off_grid(reference, subject.written.dtype, everything=everything)
        write_logits(reference, rows.rows, place / "rounded")
        rounding = divergence(place / "reference", place / "rounded", len(rows.rows))
    del reference
    gc.collect()
    allowed = max_kl if max_kl is not None else max(MAX_KL, _TIMES_ROUNDING * rounding.kl_mean if rounding else 0.0)
    quantized = _from_quantized_base(subject, rows, place)
    n_equal = len(answers) - len(parted)
    proof = Proof(measured, allowed, len(answers), n_equal, rows.source, rounding, quantized)
    if not measured.kl_mean <= allowed:
        raise AnswerIsNo(f"the merged model is not the base with its adapter: {proof.line()}")
    if apart > 2 * measured.max_logit_difference + _TIE:
        raise AnswerIsNo(f"the merged model writes other texts, {apart:.2e} apart where they part: {proof.line()}")
    return proof


def _refuse_other_facts(subject: Subject, rows: HeldOutRows, reference: Any, facts: dict[str, Any]) -> None:
    expected = {
        **facts_of(reference, subject.tokenizer, rows.messages[:5]),
        "heads_tied": subject.written.record["tied"],
        "not_loaded": [],
    }
    for name, value in expected.items():
        if facts[name] != value:
            raise AnswerIsNo(
                f"the merged model differs in {name.replace('_', ' ')}: expected {str(value)[:120]}, got "
                f"{str(facts[name])[:120]}"
            )


def _gap(reference: Any, prompt: Sequence[int], one: Sequence[int], other: Sequence[int]) -> float:
    """By how much the reference prefers its own token where two answers part."""
    place = next(n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    row = torch.tensor([[*prompt, *one[:place]]], device=reference.device)
    with torch.inference_mode():
        logits = reference(input_ids=row, use_cache=False).logits[0, -1]
    return float(logits[one[place]] - logits[other[place]])


def _from_quantized_base(subject: Subject, rows: HeldOutRows, place: Path) -> Divergence | None:
    """How far the merged model is from what was trained: the adapter on the quantized base. Not a fault of merging."""
    quantization = quantization_of_training(subject.mix.adapters[0])
    if quantization is None or len(subject.mix.adapters) > 1:
        return None
    trained = load_reference(
        subject.mix, subject.base, subject.tokenizer, revision=subject.revision, quantization=quantization
    )
    write_logits(trained, rows.rows, place / "quantized")
    return divergence(place / "quantized", place / "merged", len(rows.rows))
