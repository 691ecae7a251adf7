"""Dropout and memory of a lean step: the distribution of `torch.nn.Dropout`, and pages that are not cleared again."""

import platform
import resource

import pytest
import torch

from pipelines.training.step.fast_dropout import FastDropout, use_fast_dropout
from pipelines.training.step.freed_memory import keep_freed_memory

N = 1_000_003  # no multiple of the four decisions from one number


def fast_dropout(probability):
    model = torch.nn.Sequential(torch.nn.Dropout(probability))
    use_fast_dropout(model)
    assert type(model[0]) is FastDropout
    return model


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(probability):
    torch.manual_seed(0)
    dropped = fast_dropout(probability)(torch.ones(N))
    assert (dropped == 0).float().mean().item() == pytest.approx(probability, abs=2e-3)
    assert dropped.mean().item() == pytest.approx(1, abs=4e-3)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / (1 - probability)], rel=1e-4)


def test_neighbors_are_dropped_independently():
    torch.manual_seed(0)
    gone = (fast_dropout(0.1)(torch.ones(4 * (N // 4))) == 0).reshape(-1, 4).float()
    assert gone.mean(0).tolist() == pytest.approx([0.1] * 4, abs=3e-3)
    assert torch.corrcoef(gone.T).fill_diagonal_(0).abs().max() < 0.01


def test_the_gradient_passes_where_the_value_passed():
    value = torch.ones(1001, requires_grad=True)
    dropped = fast_dropout(0.3)(value)
    dropped.sum().backward()
    assert torch.equal(value.grad, dropped.detach())


def test_a_seed_repeats_the_dropout():
    drop = fast_dropout(0.2)
    first, second = (torch.manual_seed(1) and drop(torch.ones(50, 3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, drop(torch.ones(50, 3)))


def test_nothing_is_dropped_outside_training():
    assert torch.equal(fast_dropout(0.5).eval()(torch.ones(10)), torch.ones(10))
    assert torch.equal(fast_dropout(0.0)(torch.ones(10)), torch.ones(10))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps its own rules")
def test_freed_memory_is_used_again_without_new_pages():
    """The best of several: memory in pieces, from earlier tests, is not used again at once."""
    keep_freed_memory()
    n_new = []
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(1 << 24)  # 64 MiB
        n_new.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert min(n_new) < 300  # 16,384 pages of 4 KiB each time without it
