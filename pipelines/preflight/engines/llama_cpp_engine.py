"""llama.cpp's own engine: its server with a placeholder model is asked for /apply-template."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.endpoint.llama_cpp import has_llama_cpp, llama_cpp_version, llama_server
from pipelines.errors import UserError
from pipelines.preflight.engines.template_engine import Rendered, TemplateInput

_MAX_SECONDS = 60  # for one prompt
_WIDTH = 32  # of the placeholder: the smallest that llama.cpp takes


class LlamaCpp:
    """llama.cpp as `llama-server --jinja`: requests in OpenAI's form, tool arguments as JSON text."""

    name = "llama.cpp"
    how_to_install = "pip install 'base2instruct[engines]'"

    def version(self) -> str | None:
        """The version of the server; None without its package or the one that writes the placeholder."""
        return llama_cpp_version() if has_llama_cpp() and find_spec("gguf") else None

    def render(self, template: str, inputs: Sequence[TemplateInput]) -> list[Rendered]:
        """Render by requests to a server on the loopback; a template that it cannot read keeps it from starting."""
        import httpx

        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "placeholder.gguf"
            _write_placeholder(model, template, inputs[0].special_tokens)
            try:
                with llama_server(model) as url, httpx.Client(timeout=_MAX_SECONDS, trust_env=False) as client:
                    where = f"{url.removesuffix('/v1')}/apply-template"
                    answers = [client.post(where, json=_request(one)) for one in inputs]
            except UserError as error:
                return [Rendered(None, error.problem.rpartition("placeholder.gguf: ")[2])] * len(inputs)
        return [
            Rendered(one.json()["prompt"]) if one.is_success else Rendered(None, str(one.json()["error"]["message"]))
            for one in answers
        ]


def _request(one: TemplateInput) -> dict[str, Any]:
    request: dict[str, Any] = {"messages": [_as_client(message) for message in one.messages]}
    if one.tools:
        request["tools"] = list(one.tools)
    if one.arguments:
        request["chat_template_kwargs"] = dict(one.arguments)
    return request


def _as_client(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message as clients send it: arguments as text, every call with an id, and content that may be null."""
    sent = {"content": None, **message}
    if sent.get("tool_calls"):
        sent["tool_calls"] = [_as_sent(call, place) for place, call in enumerate(sent["tool_calls"])]
    return sent


def _as_sent(call: Mapping[str, Any], place: int) -> dict[str, Any]:
    function = dict(call["function"])
    if not isinstance(function.get("arguments"), str):
        function["arguments"] = json.dumps(function.get("arguments"), ensure_ascii=False)
    return {"id": f"call_{place}", "type": "function", **call, "function": function}


def _write_placeholder(path: Path, template: str, tokens: Mapping[str, str]) -> None:
    """Write a Llama of zeros with one layer: llama.cpp renders templates only for a model that it has loaded."""
    import gguf
    import numpy

    writer = gguf.GGUFWriter(path, "llama")
    vocabulary = ["<unk>", tokens.get("bos_token") or "<s>", tokens.get("eos_token") or "</s>"]
    vocabulary += [f"<0x{byte:02X}>" for byte in range(256)]
    kinds = gguf.TokenType
    writer.add_context_length(256)
    writer.add_embedding_length(_WIDTH)
    writer.add_feed_forward_length(_WIDTH)
    writer.add_block_count(1)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(vocabulary)
    writer.add_token_scores([0.0] * len(vocabulary))
    writer.add_token_types([kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL, *[kinds.BYTE] * 256])
    writer.add_chat_template(template)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)  # otherwise the prompt comes back without the BOS of the template
    for name, shape in _shapes(len(vocabulary)):
        writer.add_tensor(f"{name}.weight", numpy.zeros(shape, numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _shapes(n_tokens: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from (("token_embd", (n_tokens, _WIDTH)), ("output", (n_tokens, _WIDTH)), ("output_norm", (_WIDTH,)))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        yield f"blk.0.{name}", (_WIDTH, _WIDTH)
    yield from (("blk.0.attn_norm", (_WIDTH,)), ("blk.0.ffn_norm", (_WIDTH,)))
