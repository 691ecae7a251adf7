"""Write a GGUF file of a merged model, prove it with a real llama.cpp, and put an Ollama Modelfile next to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.endpoint.client import Endpoint
from pipelines.endpoint.llama_cpp import ServerOptions, llama_server, refuse_missing_llama_cpp
from pipelines.errors import AnswerIsNo, UserError
from pipelines.hub.model_ref import resolve_model
from pipelines.merging.adapter_mix import AdapterMix
from pipelines.merging.gguf.converter import Conversion, plan_conversion, type_of, write_gguf
from pipelines.merging.gguf.modelfile import read_turns, write_modelfile
from pipelines.merging.merge_into_base import tokenizer_of
from pipelines.modeling import load_tokenizer
from pipelines.modeling.loading import load_config, load_generation_config
from pipelines.served.comparison import Plan, compare_served
from pipelines.served.findings import Cause
from pipelines.served.record import lines_of, served_record

_N_AT_ONCE = 4


@dataclass(frozen=True)
class GgufPlan:
    """The file to write, the type of its weights (one of `converter.TYPES`), and what llama.cpp makes of the model."""

    file: Path
    gguf_type: str
    conversion: Conversion


def plan_gguf(mix: AdapterMix, base: str, file: Path, gguf_type: str) -> GgufPlan:
    """Check before the merge that llama.cpp can read the result. Raises `UserError` as `plan_conversion`, and without
    llama.cpp for the proof."""
    refuse_missing_llama_cpp("--gguf, which proves the file,")
    tokenizer = tokenizer_of(mix, base)
    generation = load_generation_config(mix.adapters[0]) or load_generation_config(base)
    ends = generation.eos_token_id if generation is not None else None
    ends = ends if isinstance(ends, list) else [tokenizer.eos_token_id if ends is None else ends]
    architectures = load_config(base).architectures or []
    return GgufPlan(
        file, gguf_type, plan_conversion(tokenizer, architectures, [one for one in ends if one is not None])
    )


def write_and_prove(plan: GgufPlan, folder: Path, dtype: str, served: Plan) -> Iterator[str]:
    """Write the file of `plan` from the merged model in `folder`, whose weights are in `dtype`; yield lines about it.

    The file has its name only once llama.cpp has answered as the merged model does. Raises `AnswerIsNo` with the
    causes if it does not, and `UserError` as `write_gguf`.
    """
    kind = type_of(plan.gguf_type, dtype)
    unproven = plan.file.with_name(f".unproven-{plan.file.name}")
    try:
        write_gguf(plan.conversion, folder, unproven, kind)
        yield from _proven(plan, unproven, folder, served, is_float32=kind == "f32")
        unproven.rename(plan.file)
    finally:
        unproven.unlink(missing_ok=True)
    yield f"GGUF ({kind}) written to {plan.file}"
    yield from (f"note: {one}" for one in plan.conversion.notes)
    yield _modelfile(plan, folder)


def _proven(plan: GgufPlan, file: Path, folder: Path, served: Plan, *, is_float32: bool) -> Iterator[str]:
    model = resolve_model(str(folder))
    positions = getattr(load_config(str(folder)).get_text_config(), "max_position_embeddings", None)
    options = ServerOptions(_N_AT_ONCE, min(positions or 4096, 4096), cache="f32" if is_float32 else "f16")
    with llama_server(file, options) as url:
        endpoint = Endpoint(url)
        found = compare_served(endpoint, model, served)
        yield from lines_of(served_record(found, endpoint, model, served))
    expected = {Cause.LEADING_SPACE} if plan.conversion.vocabulary.only_chats else set()
    causes = [f"{one.cause}: {one.observed}" for one in found.findings if not one.is_note and one.cause not in expected]
    if causes:
        raise AnswerIsNo(
            f"llama.cpp does not answer as the merged model, and no GGUF file is left: {', '.join(causes)}"
        )


def _modelfile(plan: GgufPlan, folder: Path) -> str:
    tokenizer, config = load_tokenizer(str(folder)), load_config(str(folder)).get_text_config()
    ends = [str(one) for one in tokenizer.convert_ids_to_tokens(list(plan.conversion.end_ids))]
    generation: Any = load_generation_config(str(folder))
    try:
        turns = read_turns(tokenizer, adds_bos=plan.conversion.adds_bos)
    except UserError as error:
        return f"no Modelfile for Ollama: {error.problem}"
    positions = getattr(config, "max_position_embeddings", None)
    path = write_modelfile(plan.file, turns, ends, positions, generation.to_diff_dict() if generation else {})
    return f"Modelfile for Ollama written to {path}"
