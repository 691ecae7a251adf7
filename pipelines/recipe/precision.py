"""Choose the precision: bfloat16 if the hardware has it and it is fast, else float32.

torch supports 16-bit products on every processor, but without hardware for them they are 10 to 60 times slower than
float32, without a message. So torch's query is followed by a short measurement, which also sees the effect of
`ONEDNN_MAX_CPU_ISA` and `ATEN_CPU_CAPABILITY`.
"""

import os
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.files import read_json
from pipelines.recipe.layer_probe import Way, config_of, layer_shape, times_float32

HALF_TYPES = ("bfloat16", "float16")
PRECISION_KEYS = ("bf16", "fp16", "bf16_full_eval", "fp16_full_eval", "dtype")  # of a recipe
_FEATURES = {
    "bfloat16": ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"),  # of torch.cpu.get_capabilities(); the last two of Arm
    "float16": ("avx512_fp16", "amx_fp16"),
}
_WIDTH = 256  # of the square matrices in the measurement
_REPEATS = 5
_SHORTEST = 1e-6  # seconds; if the clock is too coarse, torch's query decides
_MAX_TIMES_FLOAT32 = 1.5  # in hardware it is 0.3 to 1.1, by AVX-512 without bfloat16 2.5 to 3, by AVX2 10 to 60
_MAX_TIMES_OF_LAYER = 1.05  # between 1 and this the measurement decides nothing
_LAUNCHER = "ACCELERATE_MIXED_PRECISION"  # set by `accelerate launch`
_LOADED_IN = ("dtype", "torch_dtype")  # of model_init_kwargs
_MAYBE_HALF = (*HALF_TYPES, "auto")
_LAUNCHED = {"bf16": "bfloat16", "fp16": "float16"}


class WishedBy(StrEnum):
    """Who asked for a precision. The command line is obeyed. A recipe and an `accelerate launch` configuration are used
    on several machines, so there the machine decides."""

    COMMAND_LINE = "command line"
    RECIPE = "recipe"
    LAUNCHER = "accelerate launch"


@dataclass(frozen=True)
class Arithmetic:
    """A 16-bit type on a device. `times_float32` is the time of a matrix product as a multiple of float32's, None on an
    accelerator, where it is not measured."""

    dtype: str
    device: str
    in_hardware: bool
    times_float32: float | None = None

    @property
    def is_fast(self) -> bool:
        """Whether to use it by default."""
        return self.in_hardware and (self.times_float32 is None or self.times_float32 <= _MAX_TIMES_FLOAT32)

    @property
    def reason(self) -> str:
        """Return why it is used, or not."""
        if self.is_fast:
            return f"{self.device} has {self.dtype} arithmetic"
        is_slow = self.times_float32 is not None and self.times_float32 > _MAX_TIMES_FLOAT32
        measured = f" (measured {self.times_float32:.0f} times slower)" if is_slow else ""
        return f"{self.device} has no {self.dtype} arithmetic{measured}"


@dataclass(frozen=True)
class Precision:
    """The chosen precision, what was asked for and by whom, and the reason. `is_costly`: slower than float32."""

    choice: str
    reason: str
    wish: str | None = None
    wished_by: WishedBy | None = None
    is_costly: bool = False

    def line(self) -> str:
        """Return the line for stderr."""
        if self.is_costly:
            return f"warning: computing in {self.choice}, as the {self.wished_by} says: {self.reason}"
        return f"computing in {self.choice}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """Return the entry of run.json and lock.json."""
        record = asdict(self) | {"wished_by": self.wished_by and self.wished_by.value}
        return {key: record[key] for key in ("choice", "wish", "wished_by", "reason")}


@lru_cache
def arithmetic(dtype: str, *, on_cpu: bool) -> Arithmetic:
    """Query and measure `dtype`, bfloat16 or float16, on the accelerator or the processor."""
    import torch

    if on_cpu:
        features = torch.cpu.get_capabilities()
        in_hardware = any(features.get(name, False) for name in _FEATURES[dtype])
        return Arithmetic(dtype, "this processor", in_hardware, _times_float32(getattr(torch, dtype)))
    if torch.cuda.is_available():
        native = dtype == "float16" or torch.cuda.is_bf16_supported(including_emulation=False)
        return Arithmetic(dtype, torch.cuda.get_device_name(), native)
    from transformers.utils import is_torch_bf16_gpu_available

    return Arithmetic(
        dtype, str(torch.accelerator.current_accelerator()), dtype == "float16" or is_torch_bf16_gpu_available()
    )


def decide(found: Arithmetic, wish: str | None = None, wished_by: WishedBy | None = None) -> Precision:
    """Return the precision, from what the machine has and what was asked for (a 16-bit type or float32)."""
    if wish is not None and wish not in HALF_TYPES:
        return Precision(wish, f"as the {wished_by} says", wish, wished_by)
    if found.is_fast:
        return Precision(found.dtype, found.reason, wish, wished_by)
    if wish is not None and wished_by is WishedBy.COMMAND_LINE:
        return Precision(found.dtype, found.reason, wish, wished_by, is_costly=True)
    return Precision("float32", found.reason, wish, wished_by)


def precision_of_training(
    keys: Mapping[str, Any], on_command_line: Collection[str]
) -> tuple[dict[str, Any], Precision]:
    """Return the recipe's keys with the precision of this machine, and the precision; print it unless it was asked for.

    `keys` are the recipe's, updated by the command line, whose keys are `on_command_line`. If the machine has only
    float32, weights that the recipe wants in 16 bits are loaded in float32 too: products with them would be in 16 bits.
    """
    on_cpu = bool(keys.get("use_cpu")) or os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true")
    wish, wished_by = _wish(keys, on_command_line)
    if wish == "float16" and on_cpu:  # accelerate leaves fp16 out on a CPU
        found = arithmetic("bfloat16", on_cpu=True)
        decided = replace(decide(found), wish=wish, wished_by=wished_by, reason=f"{found.reason}, and fp16 needs a GPU")
        keys = {key: value for key, value in keys.items() if key != "fp16"}
    else:
        found = arithmetic(wish if wish in HALF_TYPES else "bfloat16", on_cpu=on_cpu)
        decided = decide(found, wish, wished_by)
    weights = keys.get("dtype")
    if decided.choice == "float32" and found.is_fast and weights in HALF_TYPES:
        decided = replace(decided, choice=str(weights), reason=f"the weights are loaded in it (dtype: {weights})")
    if on_cpu and wish is None and decided.choice == "bfloat16" and keys.get("dtype") in (None, "float32"):
        keys, decided = _quickest(keys, decided)
    if decided.is_costly or decided.choice != decided.wish:
        say(decided.line())
    os.environ[_LAUNCHER] = "no"  # if the keys are false, transformers asks the launcher
    if decided.choice == "float32" and not found.is_fast:
        return {**keys, **_in_float32(keys)}, decided
    if keys.get("bf16") is not None or keys.get("fp16"):
        return dict(keys), decided
    return {**keys, "bf16": decided.choice == "bfloat16", "fp16": decided.choice == "float16"}, decided


def inference_dtype(dtype: str, saved: str | None) -> str:
    """Return the dtype to load weights in: `dtype`, or for auto the `saved` one (None: unknown) if it is fast here,
    else float32. Prints the decision for 16-bit weights on stderr.
    """
    import torch

    asked = dtype != "auto"
    if (asked and dtype not in HALF_TYPES) or (not asked and saved not in (*HALF_TYPES, None)):
        return dtype
    found = arithmetic(dtype if asked else saved or "bfloat16", on_cpu=not torch.cuda.is_available())
    decided = decide(found, dtype if asked else None, WishedBy.COMMAND_LINE if asked else None)
    if asked or saved is not None:
        _say_once(decided.line())
    return dtype if asked or found.is_fast else "float32"


def say(line: str) -> None:
    """Print `line` on stderr of rank 0."""
    if os.environ.get("RANK", "0") == "0":
        print(line, file=sys.stderr, flush=True)


@lru_cache
def _say_once(line: str) -> None:
    say(line)


def _quickest(keys: Mapping[str, Any], decided: Precision) -> tuple[Mapping[str, Any], Precision]:
    """Where nobody asked for a precision on a processor with fast bfloat16: what is quickest for a layer of this model.

    A frozen base is loaded in bfloat16 only if it was saved in it, which loses nothing. Trained weights never are:
    updates of less than 0.4% of a weight would be rounded away. Quantized bases keep bfloat16 autocast.
    Several processes could measure differently, so they compute in float32, unless the accelerate configuration asks
    for bfloat16.
    """
    config, adapted = config_of(keys), bool(keys.get("use_peft"))
    if any(keys.get(key) for key in ("load_in_4bit", "load_in_8bit", "model_init_kwargs")):
        return keys, decided
    if os.environ.get("WORLD_SIZE", "1") != "1":
        reason = "several processes do not measure which is quicker; `mixed_precision: bf16` asks for bfloat16"
        return keys, replace(decided, choice="float32", reason=reason)
    saved = config.get("dtype", config.get("torch_dtype"))
    is_lossless = adapted and keys.get("dtype") is None and saved == "bfloat16"
    if begun := _of_begun_run(keys):
        is_half = is_lossless and begun["choice"] == "bfloat16"
        return ({**keys, "dtype": "bfloat16"} if is_half else keys), replace(decided, **begun)
    times = times_float32(layer_shape(config, adapted=adapted), Way.BFLOAT16 if is_lossless else Way.AUTOCAST)
    measured = f"a layer of this model takes {times:.2f} times as long as in float32"
    if times > _MAX_TIMES_OF_LAYER:
        return keys, replace(decided, choice="float32", reason=f"in bfloat16 {measured}")
    if is_lossless:
        reason = f"{decided.reason}, and the base is loaded in it, as it was saved; {measured}"
        return {**keys, "dtype": "bfloat16"}, replace(decided, reason=reason)
    return keys, replace(decided, reason=f"{decided.reason}, {measured}")


def _of_begun_run(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Choice and reason of the run that is resumed, which a second measurement could turn; empty for a new run."""
    path = Path(str(keys.get("output_dir"))) / "run.json"
    if not (keys.get("resume") or keys.get("resume_from_checkpoint")) or not path.is_file():
        return {}
    found = read_json(path).get("precision") or {}
    return {key: found[key] for key in ("choice", "reason") if key in found}


def _wish(keys: Mapping[str, Any], on_command_line: Collection[str]) -> tuple[str | None, WishedBy | None]:
    """The precision that is asked for and by whom; the command line comes first."""
    said = {key: value for key, value in keys.items() if key in on_command_line}
    if said.get("dtype") == "bfloat16" and said.get("bf16") is None and not said.get("fp16"):
        return "bfloat16", WishedBy.COMMAND_LINE
    for source, wished_by in ((said, WishedBy.COMMAND_LINE), (keys, WishedBy.RECIPE)):
        if wish := _wish_of(source):
            return wish, wished_by
    launched = _LAUNCHED.get(os.environ.get(_LAUNCHER, "no"))
    return launched, WishedBy.LAUNCHER if launched else None


def _wish_of(keys: Mapping[str, Any]) -> str | None:
    if keys.get("fp16"):
        return "float16"
    if keys.get("bf16") or keys.get("bf16_full_eval"):
        return "bfloat16"
    if keys.get("bf16") is False:
        return str(keys["dtype"]) if keys.get("dtype") in HALF_TYPES else "float32"
    return None


def _in_float32(keys: Mapping[str, Any]) -> dict[str, Any]:
    off: dict[str, Any] = {key: False for key in PRECISION_KEYS[:-1] if key in ("bf16", *keys)}
    wider: dict[str, Any] = {"dtype": "float32"} if keys.get("dtype") in _MAYBE_HALF else {}
    options = keys.get("model_init_kwargs")
    if isinstance(options, Mapping) and any(options.get(name) in _MAYBE_HALF for name in _LOADED_IN):
        kept = {name: value for name, value in options.items() if name not in _LOADED_IN}
        wider["model_init_kwargs"] = {**kept, "dtype": "float32"}
    return off | wider


def _times_float32(dtype: Any) -> float:
    """Processor time of a product in `dtype` divided by that in float32: the best of several, in one thread.

    Wall time, or several threads, would depend on what else the machine does.
    """
    import torch

    pairs = [torch.ones(_WIDTH, _WIDTH, dtype=one) for one in (torch.float32, dtype)]
    quickest = [float("inf")] * len(pairs)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(_REPEATS):
            for number, matrix in enumerate(pairs):
                start = time.thread_time()
                matrix @ matrix
                quickest[number] = min(quickest[number], time.thread_time() - start)
    finally:
        torch.set_num_threads(n_threads)
    return max(quickest[1], _SHORTEST) / max(quickest[0], _SHORTEST)
