"""Classes of differences: which one explains what was observed, in words, and what to do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipelines.served.answers import Kind, Pair
from pipelines.served.checks import Check, TokenCheck
from pipelines.served.distributions import Divergence
from pipelines.served.trained import Rounding

MAX_KL = 1e-5  # nats a token in float32, as a merge may differ
TIE = 1e-4  # nats between two tokens that float32 may order either way
_TIMES_ROUNDING = 4.0  # an engine rounds more than the weights: its sums, its cache
_STRAIGHT = 0.3  # a correlation with the direction to the base; that of rounding is 0.1 at most
_MOSTLY_BASE = 0.75  # the share of the way to the base
_EXPLAINED = 0.25  # the share of the KL that a missing part of the adapter may leave
_BITS_OF_SCALES = 3  # blocks of 4-bit weights have up to 6 bits a weight with their scales
_MOST = 0.8


class Cause(StrEnum):
    """What differs between the served and the trained model; `PRECISION` and `NORMALIZATION` are notes."""

    TEMPLATE = "template"
    TOKENIZER = "tokenizer"
    LEADING_SPACE = "leading space"
    NORMALIZATION = "normalization"
    END_TOKEN = "end token"
    NOT_APPLIED = "adapter not applied"
    WEIGHTS = "weights"
    SAMPLING = "sampling"
    PRECISION = "precision"


FIXES: Mapping[Cause, str] = {
    Cause.TEMPLATE: "serve RUN/chat_template.jinja: --chat-template FILE (vLLM), --jinja --chat-template-file FILE "
    "(llama.cpp); without a system prompt or template arguments of the server's own",
    Cause.TOKENIZER: "serve the tokenizer.json of the run; convert a GGUF again with `merge.py --gguf`",
    Cause.LEADING_SPACE: "serve the tokenizer.json and tokenizer_config.json of the run; convert a GGUF again with "
    "`merge.py --gguf`",
    Cause.NORMALIZATION: "send text in Unicode's NFC form, which most programs write: llama.cpp does not normalize",
    Cause.END_TOKEN: "serve the generation_config.json of the run next to the weights, or pass its eos_token_id as "
    "stop_token_ids; give the server room for prompt and answer",
    Cause.NOT_APPLIED: "name the adapter with --model (vLLM: --enable-lora --lora-modules NAME=RUN), or merge it with "
    "merge.py and serve that folder",
    Cause.WEIGHTS: "merge the run again with merge.py, which proves the result, and serve that folder",
    Cause.SAMPLING: "switch off the server's penalties and samplers: a request with temperature 0 must take the "
    "likeliest token",
    Cause.PRECISION: "serve float32 or 16-bit weights if this is too much",
}


@dataclass(frozen=True)
class Finding:
    """One cause with what was observed."""

    cause: Cause
    observed: str

    @property
    def is_note(self) -> bool:
        """Whether the served model counts as the trained one all the same."""
        return self.cause in (Cause.PRECISION, Cause.NORMALIZATION)


def tokenization_findings(
    rendered: Check | None, counts: Check | None, tokens: TokenCheck | None, *, shift_equally: bool
) -> list[Finding]:
    """Return what explains prompts that are not the trained ones.

    A template is known by its text; by counts alone it adds equally many tokens to each prompt, or the tokenizer is
    known to be right.
    """
    found = []
    splits = tokens is not None and not tokens.check.holds
    if rendered is not None and not rendered.holds:
        found.append(Finding(Cause.TEMPLATE, rendered.first))
    elif rendered is None and counts is not None and not counts.holds and (shift_equally or (tokens and not splits)):
        found.append(Finding(Cause.TEMPLATE, counts.first))
    if tokens is not None and splits:
        cause = Cause.NORMALIZATION if tokens.is_normalization else Cause.TOKENIZER
        found.append(Finding(Cause.LEADING_SPACE if tokens.is_leading_space else cause, tokens.check.first))
    elif counts is not None and not counts.holds and not found:
        found.append(Finding(Cause.TOKENIZER, f"{counts.first}, of the same text"))
    return found


def ending_findings(pairs: Sequence[Pair]) -> list[Finding]:
    """Return what explains answers that have the trained text and end elsewhere, or begin with other spaces. Where most
    differing answers are other texts, those explain it."""
    differing = [one for one in pairs if one.kind is not Kind.EQUAL]
    found = []
    for cause, kinds in ((Cause.LEADING_SPACE, {Kind.SPACE}), (Cause.END_TOKEN, {Kind.LONGER, Kind.SHORTER})):
        such = [one for one in differing if one.kind in kinds]
        if such and len(such) >= _MOST * len(differing):
            found.append(Finding(cause, _shown(such[0])))
    return found


@dataclass(frozen=True)
class Missing:
    """The part of the adapter without which the model is closest to the endpoint, and the KL that is left then."""

    part: str
    kl_mean: float

    def explains(self, kl_mean: float) -> bool:
        """Whether most of the KL from the whole trained model is gone without the part."""
        return self.kl_mean <= _EXPLAINED * kl_mean


def weight_finding(
    divergence: Divergence, roundings: Sequence[Rounding], missing: Missing | None, bits: float | None = None
) -> Finding | None:
    """Return what explains log-probabilities that are not the trained model's, None if they are.

    A difference as large as that of rounding the weights is precision, unless it is explained by a missing part of the
    adapter, or points to the base: an adapter that is applied in part moves the model back toward its base, and
    rounding moves it anywhere. `bits` of a weight, where the engine tells them, rule out coarser rounding.
    """
    if divergence.kl_mean <= MAX_KL:
        return None
    figures = f"KL {divergence.kl_mean:.1e} nats a token over {divergence.n_places:,} places"
    share, straight = divergence.from_trained, divergence.toward_base
    points_to_base = share is not None and straight is not None and straight >= _STRAIGHT
    likely = [one.bits for one in roundings if divergence.kl_mean <= _TIMES_ROUNDING * one.kl_mean]
    rounded_to = max(
        (one for one in likely if one == 16 or bits is None or one >= bits - _BITS_OF_SCALES), default=None
    )
    if rounded_to == 16:
        return Finding(Cause.PRECISION, f"{figures}, as rounding the weights to 16 bits causes")
    if points_to_base and share is not None and share >= _MOSTLY_BASE:
        said = f"the endpoint answers as the base does: {figures} from the trained model"
        return Finding(Cause.NOT_APPLIED, said)
    if missing is not None and missing.explains(divergence.kl_mean):
        said = f"without {missing.part} of the adapter the trained model has these log-probabilities"
        return Finding(Cause.WEIGHTS, f"{figures}; {said} (KL {missing.kl_mean:.1e})")
    if rounded_to is not None and not points_to_base:
        return Finding(Cause.PRECISION, f"{figures}, as rounding the weights to about {rounded_to} bits causes")
    back = f"{share:.0%} of the way back to the base: a part of the training is missing" if points_to_base else ""
    return Finding(Cause.WEIGHTS, f"{figures}{back and ', '}{back}")


def text_finding(pairs: Sequence[Pair], roundings: Sequence[Rounding], n_as_base: int, n_apart: int) -> Finding | None:
    """As `weight_finding`, from texts alone: `n_as_base` of `n_apart` answers, which base and trained model give
    differently, are the base's. Rounding changes an answer only where two tokens are nearly equally likely."""
    others = [one for one in pairs if one.kind is Kind.OTHER and (one.gap is None or one.gap > TIE)]
    if not others:
        return None
    if n_apart and n_as_base >= _MOST * n_apart:
        said = f"the endpoint answers as the base does: {n_as_base} of {n_apart} texts"
        return Finding(Cause.NOT_APPLIED, said)
    largest = max(float("inf") if one.gap is None else one.gap for one in others)
    bits = next((one.bits for one in roundings if one.bits >= 8 and largest <= one.margin), None)
    if bits is not None:
        said = (
            f"{len(others)} answers part where two tokens are within {largest:.2g} nats, as by rounding to {bits} bits"
        )
        return Finding(Cause.PRECISION, f"{said}; no KL, since the endpoint tells no log-probabilities")
    return Finding(Cause.WEIGHTS, f"{len(others)} answers are other texts, the first where {_shown(others[0])}")


def _shown(pair: Pair) -> str:
    place = next(
        (n for n, two in enumerate(zip(pair.trained, pair.served, strict=False)) if two[0] != two[1]),
        min(len(pair.trained), len(pair.served)),
    )
    begin = max(0, place - 20)
    ends = f" (finish_reason {pair.finish_reason!r})" if pair.kind in (Kind.LONGER, Kind.SHORTER) else ""
    trained, served = (text[begin : place + 40] for text in (pair.trained, pair.served))
    return f"the trained model writes {trained!r}, the endpoint {served!r}{ends}"
