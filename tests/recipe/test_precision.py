"""Which precision a machine computes in: the decision, what recipe keys become of it, and the two processors."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from trl import ModelConfig, SFTConfig

from pipelines.recipe import Recipe, parse_recipe
from pipelines.recipe import precision as room
from pipelines.recipe.arguments import DataArguments
from pipelines.recipe.layer_probe import Way, layer_shape, times_float32
from pipelines.recipe.precision import (
    Arithmetic,
    WishedBy,
    arithmetic,
    decide,
    inference_dtype,
    precision_of_training,
)
from tests.conftest import PROJECT

FAST = Arithmetic("bfloat16", "this processor", in_hardware=True, times_float32=0.5)
SLOW = replace(FAST, times_float32=42.4)
ABSENT = replace(SLOW, in_hardware=False)
UNKNOWN_BUT_QUICK = replace(FAST, in_hardware=False)
EMULATED = replace(FAST, times_float32=2.4)  # AVX-512 without bfloat16
GPU, OLD_GPU = Arithmetic("bfloat16", "NVIDIA H200", True), Arithmetic("bfloat16", "Tesla T4", False)
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}

HAS = "computing in bfloat16: this processor has bfloat16 arithmetic"
LACKS = "computing in float32: this processor has no bfloat16 arithmetic (measured 42 times slower)"


@pytest.mark.parametrize(("found", "wish", "by", "choice", "line"), [
    (FAST, None, None, "bfloat16", HAS), (SLOW, None, None, "float32", LACKS), (ABSENT, None, None, "float32", LACKS),
    (UNKNOWN_BUT_QUICK, None, None, "float32", LACKS.partition(" (")[0]),
    (EMULATED, None, None, "float32", LACKS.replace("42", "2")),
    (GPU, None, None, "bfloat16", "computing in bfloat16: NVIDIA H200 has bfloat16 arithmetic"),
    (OLD_GPU, None, None, "float32", "computing in float32: Tesla T4 has no bfloat16 arithmetic"),
    (SLOW, "bfloat16", WishedBy.RECIPE, "float32", LACKS), (SLOW, "bfloat16", WishedBy.LAUNCHER, "float32", LACKS),
    (SLOW, "bfloat16", WishedBy.COMMAND_LINE, "bfloat16", "warning: computing in bfloat16, as the command line "
    f"says: {LACKS.partition(': ')[2]}"),
    (FAST, "bfloat16", WishedBy.COMMAND_LINE, "bfloat16", HAS),
    (FAST, "float32", WishedBy.RECIPE, "float32", "computing in float32: as the recipe says"),
    (SLOW, "float32", WishedBy.COMMAND_LINE, "float32", "computing in float32: as the command line says"),
])  # fmt: skip
def test_the_machine_decides_unless_the_command_line_says_otherwise(found, wish, by, choice, line):
    decided = decide(found, wish, by)
    assert (decided.choice, decided.line()) == (choice, line)
    record = json.loads(json.dumps(decided.to_json()))
    assert record == {"choice": choice, "wish": wish, "wished_by": by and by.value, "reason": decided.reason}


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make this process find an arithmetic, as it would on another processor."""

    def find(found: Arithmetic, times_of_layer: float = 0.7) -> None:
        monkeypatch.setattr(room, "arithmetic", lambda dtype, **_: replace(found, dtype=dtype))
        monkeypatch.setattr(room, "times_float32", lambda *_: times_of_layer)

    return find


def parsed(folder: Path, keys: str, *flags: str) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(f"output_dir: {folder / 'run'}\nuse_cpu: true\nreport_to: none\n{keys}")
    return parse_recipe([DataArguments, SFTConfig, ModelConfig], ["--config", str(path), *flags])


@pytest.mark.parametrize(("found", "keys", "flags", "expected"), [
    (FAST, "", "", (True, "bf16", "float32", "bfloat16")),
    (FAST, "bf16: null", "", (True, "bf16", "float32", "bfloat16")),
    (SLOW, "bf16: null", "", (False, "no", "float32", "float32")), (SLOW, "", "", (False, "no", "float32", "float32")),
    (SLOW, "bf16: true", "", (False, "no", "float32", "float32")),
    (SLOW, "bf16: true\ndtype: bfloat16", "", (False, "no", "float32", "float32")),
    (SLOW, "dtype: auto", "", (False, "no", "float32", "float32")),
    (SLOW, "dtype: float16", "", (False, "no", "float32", "float32")),
    (SLOW, "bf16: false\ndtype: bfloat16", "", (False, "no", "float32", "float32")),
    (SLOW, "dtype: bfloat16", "--bf16 false", (False, "no", "float32", "float32")),
    (SLOW, "dtype: bfloat16", "--bf16 true", (True, "bf16", "bfloat16", "bfloat16")),
    (SLOW, "", "--dtype bfloat16", (True, "bf16", "bfloat16", "bfloat16")),
    (SLOW, "", "--bf16", (True, "bf16", "float32", "bfloat16")),
    (SLOW, "fp16: true", "", (False, "no", "float32", "float32")),
    (FAST, "fp16: true", "", (True, "bf16", "float32", "bfloat16")),
    (FAST, "dtype: bfloat16", "", (True, "bf16", "bfloat16", "bfloat16")),
    (FAST, "bf16: false", "", (False, "no", "float32", "float32")),
    (FAST, "bf16: false\ndtype: bfloat16", "", (False, "no", "bfloat16", "bfloat16")),
    (FAST, "dtype: bfloat16", "--bf16 false", (False, "no", "bfloat16", "bfloat16")),
    (FAST, "dtype: auto", "", (True, "bf16", "auto", "bfloat16")),
])  # fmt: skip
def test_what_the_keys_of_a_recipe_become(found, keys, flags, expected, on, tmp_path):
    on(found)
    recipe = parsed(tmp_path, keys, *flags.split())
    _, training, model = recipe.arguments
    assert recipe.precision
    dtype = str(model.dtype or "float32")
    assert (training.bf16, training.mixed_precision, dtype, recipe.precision.choice) == expected
    assert not training.fp16
    assert recipe.keys.get("bf16") == (True if flags.endswith("--bf16") else recipe.keys.get("bf16"))


LORA = "use_peft: true\n"
IN_BFLOAT16, IN_FLOAT32 = '{"dtype": "bfloat16"}', '{"dtype": "float32"}'
MIXED, SINGLE, ALL = (True, "float32", "bfloat16"), (False, "float32", "float32"), (True, "bfloat16", "bfloat16")


@pytest.mark.parametrize(("times", "saved", "keys", "flags", "expected"), [
    (1.3, IN_BFLOAT16, "", "", SINGLE), (1.3, IN_BFLOAT16, LORA, "", SINGLE), (1.04, IN_BFLOAT16, "", "", MIXED),
    (0.7, IN_BFLOAT16, LORA, "", ALL), (0.7, IN_FLOAT32, LORA, "", MIXED), (0.7, "", LORA, "", MIXED),
    (0.7, IN_BFLOAT16, "", "", MIXED), (0.7, IN_BFLOAT16, LORA + "dtype: float32", "", MIXED),
    (1.3, IN_BFLOAT16, "bf16: true", "", MIXED), (1.3, IN_BFLOAT16, "", "--bf16 true", MIXED),
    (1.3, IN_BFLOAT16, "dtype: bfloat16", "", ALL), (1.3, "{", "", "", SINGLE),
])  # fmt: skip
def test_on_a_fast_processor_a_layer_of_the_model_decides_what_nobody_asked_for(
    times, saved, keys, flags, expected, on, tmp_path
):
    """Trained weights stay in float32, and frozen ones too unless they were saved in bfloat16."""
    on(FAST, times)
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(saved)
    recipe = parsed(tmp_path, f"model_name_or_path: {base}\n{keys}", *flags.split())
    _, training, model = recipe.arguments
    assert (training.bf16, str(model.dtype or "float32"), recipe.precision.choice) == expected


@pytest.mark.parametrize(("times", "begun"), [(0.7, "float32"), (1.3, "bfloat16")])
def test_a_resumed_run_computes_as_it_began_whatever_is_measured_now(times, begun, on, tmp_path):
    on(FAST, times)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps({"precision": {"choice": begun, "reason": "measured"}}))
    assert parsed(tmp_path, "", "--resume").precision.choice == begun
    assert parsed(tmp_path, "").precision.choice != begun


@pytest.mark.parametrize(("times", "line"), [
    (1.3, "float32: in bfloat16 a layer of this model takes 1.30 times as long as in float32"),
    (0.7, f"{HAS.partition('in ')[2]}, a layer of this model takes 0.70 times as long as in float32"),
])  # fmt: skip
def test_the_measured_layer_is_said_in_the_one_line(times, line, on, tmp_path, capsys):
    on(FAST, times)
    parsed(tmp_path, "")
    assert capsys.readouterr().err == f"computing in {line}\n"


@pytest.mark.parametrize(("keys", "n_processes", "expected"), [
    ({"load_in_4bit": True}, "1", "bfloat16"), ({"load_in_8bit": True}, "2", "bfloat16"),
    ({}, "2", "float32"), ({"bf16": True}, "2", "bfloat16"),
])  # fmt: skip
def test_quantized_bases_and_several_processes_do_not_depend_on_the_measured_layer(
    keys, n_processes, expected, on, monkeypatch
):
    """Processes that measure for themselves could choose differently."""
    on(FAST, 0.7)
    monkeypatch.setenv("WORLD_SIZE", n_processes)
    _, decided = precision_of_training({"use_cpu": True, "use_peft": True, **keys}, ())
    assert decided.choice == expected


@pytest.mark.parametrize(("config", "expected"), [
    ({"hidden_size": 128, "intermediate_size": 352, "num_attention_heads": 8, "head_dim": 16}, (128, 352, 8)),
    ({"n_embd": 768, "n_head": 12}, (256, 768, 4)), ({}, (256, 768, 4)),
    ({"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32}, (256, 896, 2)),
    ({"hidden_size": 64, "num_attention_heads": 1, "head_dim": 256}, (64, 192, 1)),
])  # fmt: skip
def test_the_measured_layer_has_the_proportions_of_the_model(config, expected):
    shape = layer_shape(config, adapted=True)
    assert (shape.width, shape.inner_width, shape.n_heads) == expected
    assert times_float32(replace(shape, width=64, inner_width=64), Way.BFLOAT16) > 0


@pytest.mark.parametrize(("found", "loaded"), [(SLOW, "float32"), (FAST, "bfloat16")])
def test_weights_that_model_init_kwargs_want_in_16_bits_follow_the_machine_too(found, loaded, on, tmp_path):
    on(found)
    recipe = parsed(tmp_path, "model_init_kwargs: {dtype: bfloat16, attn_implementation: eager}")
    assert recipe.arguments[1].model_init_kwargs == {"dtype": loaded, "attn_implementation": "eager"}
    assert recipe.keys["model_init_kwargs"]["dtype"] == "bfloat16"  # as it was written


@pytest.mark.parametrize(("found", "launched", "keys", "expected"), [
    (SLOW, "bf16", "", "no"), (FAST, "bf16", "bf16: false", "no"), (SLOW, "bf16", "bf16: false", "no"),
    (FAST, "no", "", "bf16"), (FAST, "bf16", "", "bf16"),
])  # fmt: skip
def test_the_recipe_and_the_machine_stand_over_the_word_of_accelerate_launch(
    found, launched, keys, expected, on, tmp_path, monkeypatch
):
    on(found)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launched)
    assert parsed(tmp_path, keys).arguments[1].mixed_precision == expected


def test_only_what_was_not_asked_for_or_costs_something_is_said(on, tmp_path, capsys, monkeypatch):
    on(SLOW)
    parsed(tmp_path, "bf16: false")
    assert capsys.readouterr().err == ""
    parsed(tmp_path, "bf16: true")
    assert capsys.readouterr().err == f"{LACKS}\n"
    monkeypatch.setenv("RANK", "1")
    parsed(tmp_path, "bf16: true")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("found", "dtype", "saved", "expected"), [
    (FAST, "auto", "bfloat16", "auto"), (SLOW, "auto", "bfloat16", "float32"), (SLOW, "auto", "float16", "float32"),
    (SLOW, "auto", "float32", "auto"), (SLOW, "auto", "float64", "auto"), (SLOW, "auto", None, "float32"),
    (SLOW, "bfloat16", None, "bfloat16"), (SLOW, "float64", None, "float64"), (OLD_GPU, "auto", "bfloat16", "float32"),
])  # fmt: skip
def test_weights_are_loaded_as_they_were_saved_where_that_is_fast(found, dtype, saved, expected, on):
    on(found)
    assert inference_dtype(dtype, saved) == expected


def test_the_measurement_leaves_threads_and_random_numbers_as_they_were():
    before = torch.get_num_threads(), torch.random.get_rng_state()
    arithmetic.cache_clear()
    times_float32.cache_clear()
    arithmetic("bfloat16", on_cpu=True)
    times_float32(layer_shape({"hidden_size": 64}, adapted=True), Way.AUTOCAST)
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


PROBE = (
    "import json; from dataclasses import asdict; from pipelines.recipe.precision import arithmetic, inference_dtype\n"
    "found = arithmetic('bfloat16', on_cpu=True)\n"
    "print(json.dumps([asdict(found), found.is_fast, inference_dtype('auto', 'bfloat16')]))"
)


def test_a_processor_without_its_bfloat16_instructions_computes_in_float32():
    """torch's query does not see these two variables; the measurement does."""
    environment = {**os.environ, **AVX2}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    found, is_fast, dtype = json.loads(done.stdout)
    assert (is_fast, dtype) == (False, "float32")
    assert found["times_float32"] > 5
    assert "computing in float32: this processor has no bfloat16 arithmetic (measured " in done.stderr


def test_a_processor_with_bfloat16_instructions_computes_in_bfloat16():
    features = torch.cpu.get_capabilities()
    named = any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    if not named or any(name in os.environ for name in AVX2):
        pytest.skip("this processor has no bfloat16 instructions, or is kept from them")
    found = arithmetic("bfloat16", on_cpu=True)
    assert found.is_fast
    assert not arithmetic("float16", on_cpu=True).is_fast or features.get("avx512_fp16") or features.get("amx_fp16")


@pytest.mark.parametrize(
    "config", [{"n_embd": 33, "n_head": 2}, {"n_embd": "much"}, {"hidden_size": 96, "head_dim": 80}]
)
def test_a_layer_of_odd_or_wrong_sizes_is_measured_and_left_to_be_reported_later(config):
    shape = layer_shape(config, adapted=False)
    assert shape.width % shape.n_heads == 0
    assert times_float32(shape, Way.AUTOCAST) > 0
