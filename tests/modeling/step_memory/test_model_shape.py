"""Sizes of the real models, counted from their configs alone."""

import pytest

from pipelines.modeling.step_memory.model_shape import model_shape
from tests.twins.models import ARCHITECTURES, real_config


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_the_parameters_of_a_model_are_the_published_number(model):
    assert model_shape(real_config(model)).n_parameters == ARCHITECTURES[model]["n_parameters"]


def test_matrices_head_and_norms_make_up_an_untied_llama():
    shape = model_shape(real_config("llama-3.1-8b"))
    norms = (2 * 32 + 1) * 4096
    assert shape.n_matrix_parameters + 2 * shape.n_head_parameters + norms == shape.n_parameters


def test_gpt2_matrices_are_counted_though_it_keeps_them_transposed():
    shape = model_shape(real_config("gpt2"))
    assert len(shape.matrices) == 4 * 12
    assert shape.n_matrix_parameters == 12 * 12 * 768 * 768
    assert not shape.gated


def test_lora_is_counted_on_all_linear_layers():
    """Mistral 7B at rank 16, by hand: q, o 8192 each; k, v 5120; gate, up, down 18432."""
    shape = model_shape(real_config("mistral-7b-v0.3"))
    assert shape.n_lora_parameters(16) == 32 * 16 * (2 * 8192 + 2 * 5120 + 3 * 18432)


def test_gemma_has_five_windowed_layers_for_each_full_one():
    shape = model_shape(real_config("gemma-3-1b"))
    assert (shape.n_windowed_layers, shape.n_layers, shape.window) == (22, 26, 512)
