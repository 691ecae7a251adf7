"""Several adapters become one by their weights, and what PEFT cannot combine is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file

from pipelines.errors import UserError
from pipelines.merging.adapter_mix import AdapterMix, attach
from pipelines.merging.combination import Combination
from pipelines.merging.proof import MAX_KL, ProofPlan, merge_and_prove
from pipelines.modeling import load_tokenizer
from pipelines.modeling.loading import load_base_model, resize_embeddings
from tests.merging.adapters import read_here, save_adapter
from tests.merging.conftest import Twin

LAYER = "model.layers.1.mlp.up_proj"
Saved = Callable[..., str]


@pytest.fixture(scope="module")
def saved(twin: Twin, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = tmp_path_factory.mktemp("mix")

    def save(name: str, **lora: Any) -> str:
        if not (folder / name).exists():
            save_adapter(twin("llama-3.2-1b"), folder / name, **lora)
        return str(folder / name)

    return save


def delta_of(base: Path, mix: AdapterMix) -> torch.Tensor:
    """What `mix` adds to one layer's weight, as PEFT computes it."""
    model = load_base_model(str(base), dtype=torch.float32)
    resize_embeddings(model, load_tokenizer(mix.adapters[0]))
    adapted: Any = attach(model, mix)
    layer = adapted.get_base_model().get_submodule(LAYER)
    assert isinstance(layer, LoraLayer)
    return layer.get_delta_weight(adapted.active_adapter).detach()


@pytest.mark.parametrize("rslora", [False, True])
def test_cat_is_the_weighted_sum_of_the_adapters(rslora, twin, saved):
    base = twin("llama-3.2-1b")
    one, two = (saved(f"{n}-{rslora}", seed=n, r=4 * n, use_rslora=rslora) for n in (1, 2))
    summed = 0.7 * delta_of(base, AdapterMix((one,))) - 0.3 * delta_of(base, AdapterMix((two,)))
    mixed = delta_of(base, AdapterMix((one, two), (0.7, -0.3)))
    assert (mixed - summed).abs().max() < 1e-6 < summed.abs().max()


def test_a_single_adapter_has_its_weight_too(twin, saved):
    base, one = twin("llama-3.2-1b"), saved("one", seed=1)
    whole, half, less = (delta_of(base, AdapterMix((one,), (weight,))) for weight in (1.0, 0.5, -0.25))
    assert (half - 0.5 * whole).abs().max() < 1e-6 < whole.abs().max()
    assert (less + 0.25 * whole).abs().max() < 1e-6
    with pytest.raises(UserError, match="--combination ties needs several adapters"):
        AdapterMix((one,), (1.0,), Combination.TIES, 0.5)
    with pytest.raises(UserError, match="is DoRA"):
        AdapterMix((saved("dora", use_dora=True),), (0.5,))


@pytest.mark.parametrize("how", [one for one in Combination if one is not Combination.CAT])
def test_each_combination_of_peft_works_and_says_the_same_with_the_same_seed(how, twin, saved):
    adapters = (saved("one", seed=1), saved("two", seed=2))
    mix = AdapterMix(adapters, (0.5, 0.5), how, 0.5 if how.prunes else None, seed=3)
    one, again = (delta_of(twin("llama-3.2-1b"), mix) for _ in range(2))
    assert torch.equal(one, again)
    assert one.abs().max() > 0


def test_a_mix_with_trained_rows_is_merged_and_proven(twin, tmp_path):
    base = twin("gpt2")
    rows: dict[str, Any] = {"fan_in_fan_out": True, "trained_rows_of": ("wte",)}
    adapters = [save_adapter(base, tmp_path / str(n), seed=n, **rows) for n in (1, 2)]
    mix = AdapterMix((str(adapters[0]), str(adapters[1])), (0.75, 0.25))
    (tmp_path / "merged").mkdir()
    plan = ProofPlan(n_rows=4, max_new_tokens=4)
    _, proof = merge_and_prove(mix, str(base), tmp_path / "merged", "auto", "5GB", plan, read_here)
    assert proof.measured.kl_mean <= MAX_KL * 1e-6
    name = "base_model.model.transformer.wte.token_adapter.trainable_tokens_delta"
    own = [load_file(one / "adapter_model.safetensors")[name] for one in adapters]
    merged = load_file(tmp_path / "merged" / "model.safetensors")["transformer.wte.weight"]
    assert (merged[-2:] - (0.75 * own[0] + 0.25 * own[1])[-2:]).abs().max() < 1e-6
    with pytest.raises(UserError, match=r"weights that sum to 0\.7"):
        AdapterMix(mix.adapters, (0.5, 0.2))


@pytest.mark.parametrize(
    ("lora", "reason"),
    [
        ({"use_dora": True}, "DoRA, whose magnitudes have no sum"),
        ({"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}, "saved whole modules"),
        ({"target_modules": ["q_proj"], "bias": "all"}, "trained biases"),
    ],
)
def test_what_is_more_than_matrices_is_not_combined(lora, reason, saved):
    with pytest.raises(UserError, match=reason):
        AdapterMix((saved("one", seed=1), saved(f"with {next(iter(lora))}", **lora)), (0.5, 0.5))


def test_ranks_that_linear_cannot_sum_are_refused_in_one_line(twin, saved):
    mix = AdapterMix((saved("one", seed=1), saved("2-False", seed=2, r=8)), (0.5, 0.5), Combination.LINEAR)
    with pytest.raises(UserError, match=r"same r value .*choose another --combination"):
        delta_of(twin("llama-3.2-1b"), mix)


def test_the_flags_of_a_mix_belong_together(saved):
    adapters = (saved("one", seed=1), saved("two", seed=2))
    with pytest.raises(UserError, match="1 --weight for 2 adapters"):
        AdapterMix(adapters, (1.0,))
    with pytest.raises(UserError, match="ties needs --density"):
        AdapterMix(adapters, (0.5, 0.5), Combination.TIES)
    with pytest.raises(UserError, match="cat takes no --density"):
        AdapterMix(adapters, (0.5, 0.5), Combination.CAT, 0.5)
    with pytest.raises(UserError, match="a --weight is not finite"):
        AdapterMix(adapters, (0.5, float("nan")))
