"""The output head where there are labels, on a CPU: log-probabilities of the trained tokens with half of TRL's work.

On a CPU, TRL computes the logits of every position, the prompt's too, and computes them again in the backward pass.
The gradient of a token's log-probability with respect to its hidden state does not depend on the loss, so it is
computed here in the forward pass, while the logits are at hand.
"""

from collections.abc import Iterator
from typing import Any

import torch
import trl.trainer.utils as trl_head
from trl.kernels import ChunkedLogProbFunction
from trl.kernels.chunked_logprob import OPTIONAL_OUTPUTS, _use_triton

_TILE = 1 << 20  # logits computed at a time: they stay in the processor's cache
_MIN_ROWS = 128  # of a tile, or the head's weights are read too often
_MAX_KEPT_BYTES = 1 << 29  # of probabilities for the gradient of a trained head; more are computed again


def train_head_where_labels_are() -> None:
    """Make TRL's fused output head skip positions without a label and use `_LogProbabilities` on a CPU."""
    vars(trl_head).update(
        _use_triton=lambda device: device.type == "cpu" or _use_triton(device),
        _ChunkedLogProbFunction=_HeadOfDevice,
    )


class _HeadOfDevice:
    """What TRL calls in place of `ChunkedLogProbFunction`."""

    @staticmethod
    def apply(
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
        chunk_size: int,
        final_logit_softcapping: float | None = None,
        logit_scale: float = 1.0,
        outputs: tuple[str, ...] = OPTIONAL_OUTPUTS,
    ) -> tuple[torch.Tensor | None, ...]:
        """Log-probabilities, entropy, log of the sum of squares, mean logits, whether the target is the likeliest."""
        if hidden.device.type != "cpu" or final_logit_softcapping is not None or "log_sum_sq_probs" in outputs:
            options = (temperature, chunk_size, final_logit_softcapping, logit_scale, outputs)
            return ChunkedLogProbFunction.apply(hidden, weight, bias, targets, *options)
        found = _LogProbabilities.apply(hidden, weight, bias, targets, logit_scale / temperature)
        log_probs, entropy, mean_logits, is_top1 = found
        return log_probs, entropy, None, mean_logits, is_top1


class _LogProbabilities(torch.autograd.Function):
    """Log-probabilities of `targets` (n) under `factor * (hidden @ weight.T + bias)`; hidden (n, h), weight (v, h)."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        factor: float,
    ) -> tuple[torch.Tensor, ...]:
        """Also entropy, mean logit and whether the target is the likeliest token, each (n) and without gradient."""
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else hidden.dtype
        states, matrix = hidden.to(dtype), weight.to(dtype)
        log_probs, entropy, mean_logits = (hidden.new_empty(len(hidden), dtype=torch.float32) for _ in range(3))
        is_top1 = torch.empty_like(targets, dtype=torch.bool)
        slope = hidden.new_empty(hidden.shape, dtype=torch.float32) if ctx.needs_input_grad[0] else None
        trains_head = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
        n_bytes = len(hidden) * len(weight) * dtype.itemsize
        kept: list[torch.Tensor] | None = [] if trains_head and n_bytes <= _MAX_KEPT_BYTES else None
        for rows in _tiles(len(hidden), len(weight)):
            logits, wanted = _logits(states[rows], matrix, bias, factor), targets[rows, None]
            highest, of_target = logits.amax(-1, keepdim=True), logits.gather(-1, wanted)
            exponentials = torch.sub(logits, highest).exp_()
            total = exponentials.sum(-1, keepdim=True)
            log_total = highest + total.log()
            log_probs[rows] = (of_target - log_total).squeeze(-1)
            mean_of_logits = torch.bmm(exponentials[:, None], logits[:, :, None]).squeeze(-1) / total
            entropy[rows] = (log_total - mean_of_logits).squeeze(-1)
            mean_logits[rows] = logits.mean(-1)
            is_top1[rows] = _are_first_maxima(logits, highest, of_target, wanted)
            probabilities = exponentials.div_(total).to(dtype)
            if slope is not None:
                slope[rows] = torch.mm(probabilities, matrix).float().neg_().add_(matrix[targets[rows]]).mul_(factor)
            if kept is not None:
                kept.append(probabilities)
        ctx.kept, ctx.factor, ctx.dtype = kept, factor, dtype
        ctx.save_for_backward(slope, targets, *((hidden, weight, bias) if trains_head else ()))
        ctx.mark_non_differentiable(entropy, mean_logits, is_top1)
        return log_probs, entropy, mean_logits, is_top1

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of hidden, weight and bias."""
        slope, targets, *head = ctx.saved_tensors
        of_log_probs = gradients[0].float()[:, None]
        of_hidden = None if slope is None else (slope * of_log_probs)
        if not head:
            return of_hidden, None, None, None, None
        hidden, weight, bias = head
        states, matrix = hidden.to(ctx.dtype), weight.to(ctx.dtype)
        of_weight = torch.zeros_like(weight, dtype=torch.float32)
        of_bias = weight.new_zeros(len(weight), dtype=torch.float32)
        for place, rows in enumerate(_tiles(len(hidden), len(weight))):
            if ctx.kept is None:
                probabilities = _logits(states[rows], matrix, bias, ctx.factor).softmax(-1)
            else:
                probabilities = ctx.kept[place]
            scaled = (probabilities * (of_log_probs[rows] * -ctx.factor)).to(ctx.dtype)
            of_weight += torch.mm(scaled.T, states[rows])
            of_bias += scaled.sum(0, dtype=torch.float32)
        of_weight.index_add_(0, targets, hidden.float() * of_log_probs * ctx.factor)
        of_bias.index_add_(0, targets, of_log_probs[:, 0] * ctx.factor)
        return of_hidden, of_weight.to(weight.dtype), None if bias is None else of_bias.to(bias.dtype), None, None


def _logits(states: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor | None, factor: float) -> torch.Tensor:
    logits = torch.nn.functional.linear(states, matrix, None if bias is None else bias.to(matrix.dtype)).float()
    return logits if factor == 1 else logits.mul_(factor)


def _tiles(n_rows: int, n_tokens: int) -> Iterator[slice]:
    step = max(_MIN_ROWS, _TILE // n_tokens)
    return (slice(begin, begin + step) for begin in range(0, n_rows, step))


def _are_first_maxima(
    logits: torch.Tensor, highest: torch.Tensor, of_target: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Whether the target is the first token with the highest logit, which is what `argmax` returns. Shape (n)."""
    found = (of_target >= highest).squeeze(-1)
    found[found.clone()] = logits[found].argmax(-1) == targets[found].squeeze(-1)
    return found
