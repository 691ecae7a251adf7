"""The tensors of base and adapter in one, made one module at a time by PEFT's own layers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper

from pipelines.errors import UserError
from pipelines.merging.placeholder_model import is_stand_in

# Of two tensors that an adapter changes as one, computed in two orders of multiplication in float32.
_SAME = 1e-5


class MergedTensors:
    """What a base becomes with an adapter, tensor by tensor; only the module that was asked for last is in memory."""

    def __init__(self, model: PeftModel, tied: Mapping[str, str], read: Callable[[str], torch.Tensor]) -> None:
        """`model` is the adapter on a hollow base, `tied` names each tied tensor's twin, `read` gives a base's tensor
        in float32 by its name in the model."""
        self._base: Any = model.get_base_model()
        self._tied, self._read = tied, read
        self._last: tuple[str, dict[str, torch.Tensor]] = ("", {})

    def tensor(self, name: str) -> torch.Tensor:
        """The merged tensor, in float32. Raises `UserError` for an adapter that makes of it what is no number."""
        path, _, own = name.rpartition(".")
        if self._last[0] != path:
            self._last = (path, {})  # let go before the next is made
            self._last = (path, self._merged(path))
        return self._last[1][own]

    def is_touched(self, name: str) -> bool:
        """Whether the adapter has a layer at the tensor's module, or brings the tensor itself."""
        path, _, own = name.rpartition(".")
        module = self._module(path)
        return _is_tuned(module) or not is_stand_in(getattr(module, own))

    def untied(self) -> list[str]:
        """Tensors tied to another in the base, which the adapter has made differ from it: it trained only one of both.

        Those trained as one stay one.
        """
        differing = []
        for name, twin in self._tied.items():
            touched = self.is_touched(name) or self.is_touched(twin)
            if touched and not are_one(self.tensor(name), self.tensor(twin)):
                differing.append(name)
        return differing

    def _module(self, path: str) -> Any:
        module = self._base
        for part in path.split("."):
            module = getattr(module, part)
        return module

    def _merged(self, path: str) -> dict[str, torch.Tensor]:
        module = self._module(path)
        with self._filled(path, module), torch.no_grad():
            plain = _merged_module(module, path)
            tensors = {**dict(plain.named_parameters(recurse=False)), **dict(plain.named_buffers(recurse=False))}
            return {name: tensor.detach() for name, tensor in tensors.items()}

    @contextmanager
    def _filled(self, path: str, module: Any) -> Iterator[None]:
        """Give the base's layer at `path` the base's tensors, or those that the adapter brings, for one merge.

        They are copies: PEFT writes into them, and a tied one must not change with its twin.
        """
        layer = _base_layer(module)
        kept = dict(layer.named_parameters(recurse=False))
        for name, tensor in kept.items():
            own = self._read(f"{path}.{name}") if is_stand_in(tensor) else tensor.detach().float().clone()
            layer._parameters[name] = torch.nn.Parameter(own, requires_grad=False)
        try:
            yield
        finally:
            layer._parameters.update(kept)
            for part in module.modules():
                if isinstance(part, BaseTunerLayer):
                    part.merged_adapters = []


def are_one(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors that were tied are still the same, up to the rounding of what was added to them."""
    return one.shape == other.shape and bool((one - other).abs().max() <= _SAME * other.abs().max())


def _merged_module(module: Any, path: str) -> torch.nn.Module:
    """The module as it stands in the merged model, by PEFT's own merging."""
    try:
        if isinstance(module, AuxiliaryTrainingWrapper):  # modules_to_save, or single trained rows
            return module.unload_and_optionally_merge_module(merge=True, safe_merge=True, adapter_names=None)
        if isinstance(module, BaseTunerLayer):
            module.merge(safe_merge=True)
            return module.get_base_layer()
    except (ValueError, RuntimeError) as error:
        raise UserError(
            expected="an adapter that can be merged",
            got=f"{path}: {' '.join(str(error).split())[:200]}",
            remedy="serve it unmerged, or train it again",
        ) from error
    return module


def _is_tuned(module: Any) -> bool:
    return isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper)


def _base_layer(module: Any) -> Any:
    """The base's own layer under what PEFT put around it."""
    if isinstance(module, AuxiliaryTrainingWrapper):
        return module.original_module
    return module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
