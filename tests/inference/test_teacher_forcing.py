"""Logits at given places: the head is computed there alone, where the model calls it."""

import torch

from pipelines.inference.teacher_forcing import head_only_at


def test_a_model_that_never_calls_its_head_is_read_at_the_same_places():
    class Direct(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = torch.nn.Embedding(5, 3), torch.nn.Linear(3, 5, bias=False)

        def get_output_embeddings(self):
            return self.head

        def forward(self, ids):
            return self.embedding(ids) @ self.head.weight.T

    model, ids = Direct(), torch.tensor([[1, 2, 3], [4, 0, 1]])
    rows, places = torch.tensor([0, 1]), torch.tensor([2, 0])
    with head_only_at(model, rows, places) as logits_of:
        assert torch.equal(logits_of(model(ids)), model(ids)[rows, places])
