"""Undo a trial step to the bit: weights, gradients, optimizer, random state, counters and metrics."""

import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch.optim import Optimizer
from transformers import Trainer

from pipelines.training.callbacks.throughput import ThroughputMeter


@contextmanager
def undone(trainer: Trainer) -> Iterator[None]:
    """Afterwards trainer, model, optimizer and random state are as before, except for weights that the optimizer
    changed (see `trial_optimizer_step`). Gradients are None, as before a step."""
    model = cast(torch.nn.Module, trainer.model)
    attributes = dict(vars(trainer))
    if hasattr(trainer, "_metrics"):  # of TRL; changed in place
        trainer._metrics = {"train": defaultdict(list), "eval": defaultdict(list)}
    if hasattr(trainer, "throughput"):
        trainer.throughput = ThroughputMeter()
    modules = [(module, _plain_attributes(module), {**module._buffers}) for module in model.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        with _same_random_state(trainer.args.device), _alone(trainer.accelerator):
            yield
    finally:
        vars(trainer).clear()
        vars(trainer).update(attributes)
        for module, plain, registered in modules:
            vars(module).update(plain)
            module._buffers.update(registered)  # rotary embeddings may have put others in their place
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for weight in model.parameters():
            weight.grad = None


@contextmanager
def trial_optimizer_step(trainer: Trainer) -> Iterator[None]:
    """Step the optimizer with gradients of zero; within the block, memory is taken as in the middle of a run: by the
    optimizer's state, and by gradients where a step adds up those of several batches.

    The weights are copied to the processor's memory for the step. The state of a resumed run is left alone.
    """
    wrapped = trainer.optimizer
    whole = cast(Optimizer, wrapped.optimizer if isinstance(wrapped, AcceleratedOptimizer) else wrapped)
    optimizers = [whole, *(one for one in vars(whole).values() if isinstance(one, Optimizer))]
    weights = [weight for group in whole.param_groups for weight in group["params"]]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    if any(one.state for one in optimizers):
        yield
        return
    plain = [(one, _plain_attributes(one)) for one in optimizers]
    groups = [(group, {**group}) for group in whole.param_groups]
    paged = getattr(getattr(whole, "page_mng", None), "paged_tensors", [])  # bitsandbytes keeps them alive here
    n_paged = len(paged)
    try:
        copies = [weight.detach().to("cpu", copy=True) for weight in weights]
        try:
            type(whole).step(whole)  # without the wrapper in which a learning rate schedule counts steps
        finally:
            with torch.no_grad():
                for weight, copy in zip(weights, copies, strict=True):
                    weight.copy_(copy)
        del copies
        if not _adds_up(trainer):
            whole.zero_grad()
        yield
    finally:
        for one, before in plain:
            one.state.clear()
            vars(one).update(before)
        for group, kept in groups:
            group.clear()
            group.update(kept)
        del paged[n_paged:]


def _adds_up(trainer: Trainer) -> bool:
    """Whether the gradients of one batch are there while the next one is computed."""
    return trainer.args.gradient_accumulation_steps > 1 or bool(getattr(trainer, "max_tokens_per_micro_batch", 0))


@contextmanager
def _alone(accelerator: Accelerator) -> Iterator[None]:
    """Counts that ranks would gather are taken from this rank, so that it waits for no other one."""
    own = {"gather": lambda value: value, "gather_for_metrics": lambda value: value}
    vars(accelerator).update(own)
    try:
        yield
    finally:
        for name in own:
            del vars(accelerator)[name]


@contextmanager
def _same_random_state(device: torch.device) -> Iterator[None]:
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    of_device: Any = None if device.type == "cpu" else torch.get_device_module(device)
    on_device = None if of_device is None else of_device.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if on_device is not None:
            of_device.set_rng_state(on_device)


def _plain_attributes(holder: Any) -> dict[str, Any]:
    """Its own numbers, flags and tensors: the longest sequence that rotary embeddings have seen, the training mode."""
    plain = (bool, int, float, str, torch.Tensor, type(None))
    return {name: value for name, value in vars(holder).items() if isinstance(value, plain)}
