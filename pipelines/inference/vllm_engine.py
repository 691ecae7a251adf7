"""vLLM as the engine of `generate_answers` (extra `vllm`): the same requests in, the same token ids out.

Written against vLLM's published sources (0.11 and later: `LLM`, `SamplingParams`, `TokensPrompt`, `LoRARequest`) and
NOT run by this project's tests, which have no machine for it; what the tests run is everything up to vLLM's own door.

Greedy answers agree with transformers' up to rounding, since the kernels add in another order. Sampled answers are
seeded, each request by its own seed, and repeat on the same machine and version, but they are other samples than
transformers', because vLLM draws its random numbers in another way: compare models by one engine, not by two.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from safetensors import safe_open

from pipelines.errors import UserError
from pipelines.hub.pulling import local_copy
from pipelines.inference.model_bundle import load_for_inference
from pipelines.inference.processes import processes
from pipelines.inference.sampling import Request, SamplingPolicy, refuse_unless
from pipelines.modeling import LoadedModel
from pipelines.modeling.loading import origin, resize_embeddings

_N_AT_A_TIME = 1024  # requests between two times that finished answers come back: vLLM forms its batches itself
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # the values of max_lora_rank that vLLM takes
_MEMORY_SHARE = 0.85  # of the free GPU memory: the rest is for graphs and for the transformers model beside it
_MAX_TEMPERATURE, _MIN_TEMPERATURE = 2.0, 0.01  # beyond them vLLM refuses, or silently takes the limit


def decode_by_vllm(
    loaded: LoadedModel, requests: Sequence[Request], policy: SamplingPolicy, stop_ids: Sequence[int]
) -> Iterator[tuple[Request, list[int]]]:
    """Each request with its new tokens, the end token included.

    Raises `UserError` in one of several processes and for a temperature that vLLM would change.
    """
    refuse_unless(processes().num_processes == 1, "one process with --engine vllm", processes().num_processes)
    if policy.temperature > 0:
        low, high = _MIN_TEMPERATURE, _MAX_TEMPERATURE
        in_range = low <= policy.temperature <= high
        refuse_unless(in_range, f"a temperature of 0, or of {low} to {high}, with --engine vllm", policy.temperature)
    from vllm import LLM, SamplingParams
    from vllm.inputs import TokensPrompt
    from vllm.lora.request import LoRARequest

    with servable(loaded) as (model, adapter):
        engine = LLM(**engine_arguments(loaded, model, adapter))
        for start in range(0, len(requests), _N_AT_A_TIME):
            some = requests[start : start + _N_AT_A_TIME]
            outputs = engine.generate(
                [TokensPrompt(prompt_token_ids=list(one.token_ids)) for one in some],
                [SamplingParams(**sampling_arguments(one, policy, stop_ids)) for one in some],
                lora_request=None if adapter is None else LoRARequest("adapter", 1, adapter),
                use_tqdm=False,
            )
            for one, output in zip(some, outputs, strict=True):
                yield one, list(output.outputs[0].token_ids)


def sampling_arguments(request: Request, policy: SamplingPolicy, stop_ids: Sequence[int]) -> dict[str, Any]:
    """vLLM's SamplingParams for one request: the policy alone, and the end tokens that transformers would stop at."""
    return {
        "temperature": policy.temperature,
        "top_p": policy.top_p,
        "seed": request.seed(policy.seed),
        "max_tokens": request.n_new,
        "stop_token_ids": list(stop_ids),
        "ignore_eos": True,  # vLLM's own idea of the end token; ours is among stop_token_ids
        "detokenize": False,
    }


def engine_arguments(loaded: LoadedModel, model: str, adapter: str | None) -> dict[str, Any]:
    """The arguments of vLLM's LLM for a `model` folder and the folder of a LoRA `adapter`."""
    arguments: dict[str, Any] = {
        "model": model,
        "skip_tokenizer_init": True,  # token ids in, token ids out
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "generation_config": "vllm",  # not the folder's own sampling settings
        "seed": 0,
    }
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        arguments["gpu_memory_utilization"] = _MEMORY_SHARE * free / total
    if adapter is not None:
        rank = PeftConfig.from_pretrained(adapter).r
        arguments |= {"enable_lora": True, "max_lora_rank": next((size for size in _RANKS if size >= rank), rank)}
    return arguments


@contextmanager
def servable(loaded: LoadedModel) -> Iterator[tuple[str, str | None]]:
    """What vLLM is to load: a model, and an adapter where `LoRARequest` can serve all of it.

    Other adapters (added tokens, whole modules, DoRA, ranks by layer), of which vLLM would refuse or silently leave out
    a part, are merged into a copy of their base in a temporary folder.
    """
    model = loaded.model
    if not isinstance(model, PeftModel):
        yield _folder(loaded.path), None
        return
    base, adapter = origin(model), _folder(loaded.path)
    if _is_plain_lora(Path(adapter)):
        yield _folder(base), adapter
        return
    if getattr(model.get_base_model(), "is_quantized", False):
        raise UserError(
            expected="LoRA matrices alone in an adapter on a quantized base, for --engine vllm",
            got=f"more than that in {loaded.path}",
            remedy="leave --engine out",
        )
    with tempfile.TemporaryDirectory(prefix="merged-") as folder:
        _save_merged(loaded, base, folder)
        yield folder, None


def _folder(name_or_path: str) -> str:
    return str(local_copy(name_or_path, weights=True).folder.absolute())


def _is_plain_lora(adapter: Path) -> bool:
    """Whether the folder holds nothing but LoRA matrices of linear layers, all of one rank and scale."""
    config: Any = PeftConfig.from_pretrained(str(adapter))
    weights = adapter / "adapter_model.safetensors"
    if config.peft_type != "LORA" or not weights.is_file():
        return False
    if config.rank_pattern or config.alpha_pattern or config.layer_replication or config.target_parameters:
        return False
    with safe_open(weights, framework="pt") as file:
        names = list(file.keys())
    return all(name.endswith((".lora_A.weight", ".lora_B.weight")) and "lm_head" not in name for name in names)


def _save_merged(loaded: LoadedModel, base: str, folder: str) -> None:
    """A second copy, because merging would change the weights that `loaded` goes on to be used with."""
    copy = load_for_inference(base, loaded.path, dtype=loaded.model.dtype)
    merged: Any = copy.model.merge_and_unload()  # type: ignore[operator]  # a PeftModel, as the caller saw
    resize_embeddings(merged, loaded.tokenizer)
    merged.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
