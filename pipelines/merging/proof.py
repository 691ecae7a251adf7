"""Prove a merge: the merged folder, loaded by transformers alone, against the base with its unmerged adapter."""

import errno
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerBase

from pipelines.errors import AnswerIsNo, UserError
from pipelines.files import read_json
from pipelines.merging import reload_check
from pipelines.merging.adapter_mix import AdapterMix
from pipelines.merging.held_out_rows import HeldOutRows, RowLimits, held_out_rows
from pipelines.merging.merge_into_base import MergedModel, dtype_of_base, merge_into_base, tokenizer_of
from pipelines.merging.reference import load_reference, quantization_of_training, round_off_grid
from pipelines.merging.reload_check import facts_of, greedy_answers, write_logits
from pipelines.modeling.chat.alignment import n_equal
from pipelines.modeling.loading import load_config

MAX_KL = 1e-5  # nats a token, for weights written in float32
_TIMES_ROUNDING = 4.0  # in 16 bits the KL may be this many times the KL that rounding the base's weights causes
_TIE = 1e-4  # two answers may differ where two tokens tie: within twice the logit difference, and this much

Reader = Callable[[Path, dict[str, Any]], None]


@dataclass(frozen=True)
class ProofPlan:
    """What a merge is proven on: at most `n_rows` of `prompts` (None: held-out rows of the run, or fallback prompts),
    greedy answers of up to `max_new_tokens`, and the largest mean KL that passes (None: by the type of the weights)."""

    prompts: Path | None = None
    split: str = "test"
    n_rows: int = 100
    max_new_tokens: int = 64
    max_kl: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Subject:
    """What was merged, and where it was written."""

    mix: AdapterMix
    base: str
    folder: Path
    merged: MergedModel
    tokenizer: PreTrainedTokenizerBase


@dataclass(frozen=True)
class Divergence:
    """Differences over `n_tokens` predicted positions: KL(reference || other) in nats a token, the share of positions
    with the same most likely token, and the largest absolute difference of one logit."""

    n_tokens: int
    kl_mean: float
    kl_max: float
    max_logit_difference: float
    top1_agreement: float


@dataclass(frozen=True)
class Proof:
    """The figures. `rounding` is the effect of rounding alone (None in float32), `quantized` the distance from the
    quantized base that the adapter was trained on; `n_equal` of `n_texts` greedy answers have equal tokens."""

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
            **asdict(self.measured),
            "max_kl": self.max_kl,
            "n_texts": self.n_texts,
            "n_texts_equal": self.n_equal,
            "rows": self.source,
            "rounding_alone": self.rounding and asdict(self.rounding),
            "from_quantized_base": self.quantized and asdict(self.quantized),
        }

    def line(self) -> str:
        """The figures in one line."""
        figures = self.measured
        quantized = (
            f"; KL {self.quantized.kl_mean:.2e} from the quantized base of the training" if self.quantized else ""
        )
        return (
            f"KL {figures.kl_mean:.2e} nats per token (largest {figures.kl_max:.2e}, {self.max_kl:.2e} allowed), "
            f"largest logit difference {figures.max_logit_difference:.2e}, same first token at "
            f"{figures.top1_agreement:.2%} of {figures.n_tokens} tokens, {self.n_equal} of {self.n_texts} greedy "
            f"answers equal ({self.source}){quantized}"
        )


def merge_and_prove(
    mix: AdapterMix, base: str, folder: Path, dtype: str, max_shard_size: str, plan: ProofPlan,
    reader: Reader | None = None,
) -> tuple[MergedModel, Proof]:  # fmt: skip
    """Write the merged model into `folder` and prove it. Raises as `merge_into_base` and `prove`."""
    tokenizer = tokenizer_of(mix, base)
    merged = merge_into_base(mix, base, folder, dtype=dtype, max_shard_size=max_shard_size)
    config = load_config(str(folder)).get_text_config()
    max_positions = getattr(config, "max_position_embeddings", None)
    limits = RowLimits(plan.n_rows, plan.seed, plan.max_new_tokens, max_positions, config.vocab_size)
    rows = held_out_rows(tokenizer, mix.adapters[0], plan.prompts, plan.split, limits)
    subject = Subject(mix, base, folder, merged, tokenizer)
    return merged, prove(subject, rows, max_new_tokens=plan.max_new_tokens, max_kl=plan.max_kl, reader=reader)


def prove(
    subject: Subject,
    rows: HeldOutRows,
    *,
    max_new_tokens: int,
    max_kl: float | None = None,
    reader: Reader | None = None,
) -> Proof:
    """The figures of a merge that holds. `reader` loads the folder, by default in a fresh process.

    Without `max_kl` the mean KL may be `MAX_KL` in float32, and in 16 bits a few times what rounding alone causes.
    Raises `AnswerIsNo` with the figures if the KL is larger, if an answer differs without a tie, or if the folder is
    incomplete.
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
            raise _no_space(place, str(error)) from error


def in_fresh_process(place: Path, request: dict[str, Any]) -> None:
    """Run reload_check.py on `request` in a process of its own. Raises `AnswerIsNo` if it fails."""
    file = place / "request.json"
    file.write_text(json.dumps(request), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", str(reload_check.__file__), str(file)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        if os.strerror(errno.ENOSPC) in last[0]:
            raise _no_space(place, last[0])
        raise AnswerIsNo(f"transformers cannot load the merged model: {last[0][:300]}")


def divergence(reference: Path, other: Path, n_rows: int) -> Divergence:
    """Compare the logits that `write_logits` wrote to two folders, row by row, in float64. Other shapes and numbers
    that are not finite count as an infinite divergence."""
    sums, worst, difference, agreed, n_tokens = 0.0, 0.0, 0.0, 0, 0
    for number in range(n_rows):
        one, two = (load_file(folder / f"{number}.safetensors")["logits"].double() for folder in (reference, other))
        if one.shape != two.shape or not (one.isfinite().all() and two.isfinite().all()):
            return Divergence(n_tokens, torch.inf, torch.inf, torch.inf, 0.0)
        log_one, log_two = one.log_softmax(-1), two.log_softmax(-1)
        kl = (log_one.exp() * (log_one - log_two)).sum(-1).clamp(min=0)  # rounding can make it -1e-17
        sums, worst = sums + float(kl.sum()), max(worst, float(kl.max()))
        difference = max(difference, float((one - two).abs().max()))
        agreed += int((one.argmax(-1) == two.argmax(-1)).sum())
        n_tokens += len(one)
    return Divergence(n_tokens, sums / n_tokens, worst, difference, agreed / n_tokens)


def _no_space(place: Path, reason: str) -> UserError:
    problem = f"cannot write the logits of the proof to {place.parent}: {' '.join(reason.split())[:200]}"
    return UserError(problem, "free disk space, set a smaller --limit, or choose another --output")


def _compare(
    subject: Subject, rows: HeldOutRows, place: Path, facts: dict[str, Any], max_new_tokens: int, max_kl: float | None
) -> Proof:
    reference = load_reference(subject.mix, subject.base, subject.tokenizer)
    _refuse_other_facts(subject, rows, reference, facts)
    write_logits(reference, rows.rows, place / "reference")
    measured = divergence(place / "reference", place / "merged", len(rows.rows))
    answers = greedy_answers(reference, rows.prompts, max_new_tokens)
    differing = [n for n, pair in enumerate(zip(answers, facts["answers"], strict=True)) if pair[0] != pair[1]]
    apart = 0.0
    if subject.merged.dtype is torch.float32:
        rounding = None
        apart = max((_gap(reference, rows.prompts[n], answers[n], facts["answers"][n]) for n in differing), default=0.0)
    else:
        everything = dtype_of_base(subject.base).itemsize > subject.merged.dtype.itemsize
        round_off_grid(reference, subject.merged.dtype, everything=everything)
        write_logits(reference, rows.rows, place / "rounded")
        rounding = divergence(place / "reference", place / "rounded", len(rows.rows))
    del reference
    gc.collect()
    allowed = max_kl if max_kl is not None else max(MAX_KL, _TIMES_ROUNDING * rounding.kl_mean if rounding else 0.0)
    quantized = _from_quantized_base(subject, rows, place)
    n_equal = len(answers) - len(differing)
    proof = Proof(measured, allowed, len(answers), n_equal, rows.source, rounding, quantized)
    if not measured.kl_mean <= allowed:
        raise AnswerIsNo(f"the merged model differs from the base with its adapter: {proof.line()}")
    if apart > 2 * measured.max_logit_difference + _TIE:
        raise AnswerIsNo(f"the merged model gives other answers (logits differ by {apart:.2e}): {proof.line()}")
    return proof


def _refuse_other_facts(subject: Subject, rows: HeldOutRows, reference: Any, facts: dict[str, Any]) -> None:
    expected = {
        **facts_of(reference, subject.tokenizer, rows.messages[:5]),
        "heads_tied": subject.merged.record["tied"],
        "not_loaded": [],
    }
    for name, value in expected.items():
        if facts[name] != value:
            raise AnswerIsNo(
                f"the merged model differs in {name.replace('_', ' ')}: expected {str(value)[:120]}, got "
                f"{str(facts[name])[:120]}"
            )


def _gap(reference: Any, prompt: Sequence[int], one: Sequence[int], other: Sequence[int]) -> float:
    """The logit difference, in the reference, of the two tokens at the first difference of two answers."""
    place = n_equal(one, other)
    row = torch.tensor([[*prompt, *one[:place]]], device=reference.device)
    with torch.inference_mode():
        logits = reference(input_ids=row, use_cache=False).logits[0, -1]
    return float(logits[one[place]] - logits[other[place]])


def _from_quantized_base(subject: Subject, rows: HeldOutRows, place: Path) -> Divergence | None:
    """The distance from the model of the training, the adapter on a quantized base. It is no error of the merge."""
    quantization = quantization_of_training(subject.mix.adapters[0])
    if quantization is None or len(subject.mix.adapters) > 1:
        return None
    trained = load_reference(subject.mix, subject.base, subject.tokenizer, quantization)
    write_logits(trained, rows.rows, place / "quantized")
    return divergence(place / "quantized", place / "merged", len(rows.rows))
