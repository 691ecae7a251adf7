"""Which places of a served answer are certain, where the engine leaves out tokens."""

import pytest

from pipelines.endpoint.completion import Completion, TokenLogprob
from pipelines.served.distributions import told_by

TOLD = [TokenLogprob(bytes([65 + number]), number, -0.5) for number in (1, 2, 3, 4)]
OWN = [1, 2, 9, 3, 4]  # the engine left out 9, a part of a character


@pytest.mark.parametrize(
    ("finish_reason", "n_tokens", "n_certain"),
    [("length", 4, 4), ("length", 5, 2), ("stop", 4, 4), ("stop", 5, 4), ("stop", 6, 2)],
)
def test_places_after_a_left_out_token_do_not_count(finish_reason, n_tokens, n_certain):
    completion = Completion("text", finish_reason, 7, n_tokens, TOLD, [[one] for one in TOLD])
    assert told_by(completion, [0], {}, OWN).token_ids == [1, 2, 3, 4][:n_certain]
