"""The output head on a CPU: the values and gradients of TRL's, from the trained positions alone."""

import pytest
import torch
import trl.trainer.utils as trl_head
from transformers import LlamaConfig, LlamaForCausalLM
from trl.kernels import ChunkedLogProbFunction, chunked_logprob
from trl.trainer.utils import add_fused_lm_head

from pipelines.training.step import trained_tokens_head
from pipelines.training.step.trained_tokens_head import _HeadOfDevice, train_head_where_labels_are

OUTPUTS = ("log_probs", "entropy", "mean_logits", "is_top1")
N, HIDDEN, VOCABULARY = 300, 32, 5000
ORIGINAL = {"_use_triton": chunked_logprob._use_triton, "_ChunkedLogProbFunction": ChunkedLogProbFunction}


def head_inputs(*, bias, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(N, HIDDEN, generator=generator).to(dtype).requires_grad_()
    weight = (torch.randn(VOCABULARY, HIDDEN, generator=generator) / 4).to(dtype).requires_grad_()
    likeliest = (hidden @ weight.T).argmax(-1)
    targets = torch.where(torch.arange(N) % 2 == 0, likeliest, torch.arange(N))
    offset = torch.randn(VOCABULARY, generator=generator).to(dtype).requires_grad_() if bias else None
    return hidden, weight, offset, targets


def values_and_gradients(head, inputs, *, temperature=1.0, softcap=None, scale=1.0, outputs=OUTPUTS):
    hidden, weight, offset, targets = inputs
    found = head.apply(hidden, weight, offset, targets, temperature, 32768, softcap, scale, outputs)
    trained = [tensor for tensor in (hidden, weight, offset) if tensor is not None and tensor.requires_grad]
    uneven = torch.linspace(0.1, 1, N)  # as the weights of another loss would be
    return [*found, *torch.autograd.grad(-(found[0] * uneven).sum(), trained)]


def assert_same(found, wanted, tolerance=1e-5):
    for one, other in zip(found, wanted, strict=True):
        assert (one is None) == (other is None)
        if other is not None:
            assert (one.float() - other.float()).norm() <= tolerance * other.float().norm()


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("options", [{}, {"temperature": 1.3, "scale": 0.7}], ids=["plain", "scaled"])
def test_values_and_gradients_are_those_of_trl(bias, options):
    inputs = head_inputs(bias=bias)
    wanted = values_and_gradients(ChunkedLogProbFunction, inputs, **options)
    assert_same(values_and_gradients(_HeadOfDevice, inputs, **options), wanted)
    assert 0 < wanted[4].sum() < N  # some targets are the likeliest token, others are not


def test_a_frozen_head_gives_the_same_gradient_of_the_hidden_states():
    hidden, weight, _, targets = head_inputs(bias=False)
    inputs = (hidden, weight.detach(), None, targets)
    assert_same(values_and_gradients(_HeadOfDevice, inputs), values_and_gradients(ChunkedLogProbFunction, inputs))


def test_probabilities_too_large_to_keep_are_computed_again(monkeypatch):
    inputs = head_inputs(bias=True)
    wanted = values_and_gradients(_HeadOfDevice, inputs)
    monkeypatch.setattr(trained_tokens_head, "_MAX_KEPT_BYTES", 0)
    assert_same(values_and_gradients(_HeadOfDevice, inputs), wanted)


def test_capped_logits_are_left_to_trl():
    inputs = head_inputs(bias=False)
    wanted = values_and_gradients(ChunkedLogProbFunction, inputs, softcap=2.0)
    assert_same(values_and_gradients(_HeadOfDevice, inputs, softcap=2.0), wanted, 0.0)


def test_a_bfloat16_head_differs_by_rounding_alone():
    inputs = head_inputs(bias=False, dtype=torch.bfloat16)
    assert_same(
        values_and_gradients(_HeadOfDevice, inputs), values_and_gradients(ChunkedLogProbFunction, inputs), 2**-7
    )


def test_a_likelier_token_of_the_same_logit_comes_first():
    hidden, weight = torch.ones(2, 1), torch.tensor([[0.0], [3.0], [3.0]])
    found = _HeadOfDevice.apply(hidden, weight, None, torch.tensor([1, 2]), 1.0, 32768, None, 1.0, OUTPUTS)
    assert found[4].tolist() == [True, False]  # argmax returns the first


def test_the_head_sees_the_trained_positions_alone(monkeypatch):
    for name in ("_use_triton", "_ChunkedLogProbFunction"):
        monkeypatch.setattr(trl_head, name, ORIGINAL[name])
    seen = []
    monkeypatch.setattr(
        trained_tokens_head, "_logits", lambda states, *rest: seen.append(len(states)) or logits(states, *rest)
    )
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=50, **shape))
    add_fused_lm_head(model, outputs=OUTPUTS)
    ids = torch.arange(20).reshape(2, 10)
    labels = ids.clone()
    labels[:, :7] = -100
    wanted = model(ids, labels=labels, fused_lm_head=True)
    train_head_where_labels_are()
    found = model(ids, labels=labels, fused_lm_head=True)
    assert seen == [6]
    assert_same([found[name] for name in OUTPUTS], [wanted[name] for name in OUTPUTS])
    nothing = model(ids, labels=torch.full_like(ids, -100), fused_lm_head=True)
    nothing.loss.backward()
    assert nothing.loss == 0


def logits(*arguments, _original=trained_tokens_head._logits):
    return _original(*arguments)
