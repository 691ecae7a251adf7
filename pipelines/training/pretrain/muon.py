"""Muon for the matrices of the blocks and AdamW for everything else, as one optimizer."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import AdamW, Muon, Optimizer
from transformers import PreTrainedModel


class MuonWithAdamW(Optimizer):
    """Steps `torch.optim.Muon` and `torch.optim.AdamW` together.

    Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) orthogonalizes the momentum of matrices;
    embeddings, output head and norms stay with AdamW. Both share their parameter groups with this object, so that a
    learning rate scheduler controls both.
    """

    def __init__(
        self, matrices: list[nn.Parameter], others: list[nn.Parameter], *, muon_lr: float, adamw_options: dict[str, Any]
    ) -> None:
        self.muon = Muon(matrices, lr=muon_lr, weight_decay=adamw_options["weight_decay"])
        self.adamw = AdamW(others, **{**adamw_options, "weight_decay": 0.0})
        super().__init__([*self.muon.param_groups, *self.adamw.param_groups], {})
        self._share_groups()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both; `closure`, if given, is evaluated once, before them."""
        loss = closure() if closure is not None else None
        self.muon.step()
        self.adamw.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Both states, by name."""
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the result of `state_dict`."""
        self.muon.load_state_dict(state_dict["muon"])
        self.adamw.load_state_dict(state_dict["adamw"])
        self._share_groups()

    def _share_groups(self) -> None:
        self.param_groups = [*self.muon.param_groups, *self.adamw.param_groups]


def muon_with_adamw(model: PreTrainedModel, *, muon_lr: float, adamw_options: dict[str, Any]) -> MuonWithAdamW:
    """Make the optimizer of `model`: Muon for two-dimensional weights outside embeddings and head."""
    apart = {id(p) for module in (model.get_input_embeddings(), model.get_output_embeddings()) if module is not None
             for p in module.parameters()}  # fmt: skip
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim == 2 and id(p) not in apart]
    others = [p for p in trained if p.ndim != 2 or id(p) in apart]
    return MuonWithAdamW(matrices, others, muon_lr=muon_lr, adamw_options=adamw_options)
