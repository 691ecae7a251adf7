"""Muon takes the matrices, AdamW the rest, one scheduler drives both, and a saved state goes on exactly."""

import copy
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from pipelines.training.pretrain.muon import MuonWithAdamW, muon_with_adamw

OPTIONS = {"lr": 1e-2, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}


def new(folder: Path) -> tuple[PreTrainedModel, MuonWithAdamW]:
    model = AutoModelForCausalLM.from_pretrained(folder)
    return model, muon_with_adamw(model, muon_lr=0.02, adamw_options=OPTIONS)


def train(model: PreTrainedModel, optimizer: torch.optim.Optimizer, n_steps: int) -> float:
    ids = torch.arange(40).reshape(2, 20)
    for _ in range(n_steps):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def test_every_parameter_has_exactly_one_optimizer(tiny_model_folder):
    model, optimizer = new(tiny_model_folder)
    muon = [p for group in optimizer.muon.param_groups for p in group["params"]]
    adamw = [p for group in optimizer.adamw.param_groups for p in group["params"]]
    assert sorted(map(id, muon + adamw)) == sorted(map(id, model.parameters()))
    assert all(p.ndim == 2 for p in muon)
    assert id(model.get_input_embeddings().weight) in set(map(id, adamw))


def test_both_learn_and_a_scheduler_drives_both(tiny_model_folder):
    model, optimizer = new(tiny_model_folder)
    first = train(model, optimizer, 1)
    assert train(model, optimizer, 20) < first - 1
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 0.0)
    scheduler.step()
    before = {name: p.clone() for name, p in model.named_parameters()}
    train(model, optimizer, 1)
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


def test_a_restored_state_goes_on_exactly(tiny_model_folder):
    model, optimizer = new(tiny_model_folder)
    train(model, optimizer, 3)
    again, restored = new(tiny_model_folder)
    again.load_state_dict(model.state_dict())
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # as from disk: loading alone shares the buffers
    assert train(model, optimizer, 3) == train(again, restored, 3)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
