"""An OpenAI-compatible server of an onnxruntime-genai folder, which has none of its own: greedy answers, one at a time.

python onnx_server.py FOLDER PORT      # in the environment of onnxruntime-genai
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy
import onnxruntime_genai as og


class Model:
    """The model and its own tokenizer and template."""

    def __init__(self, folder: str) -> None:
        self.model = og.Model(folder)
        self.tokenizer = og.Tokenizer(self.model)
        config = json.loads((Path(folder) / "genai_config.json").read_text())["model"]
        ends = config["eos_token_id"]
        self.ends = set(ends if isinstance(ends, list) else [ends])
        self.context = config["context_length"]

    def rendered(self, messages: list[dict[str, Any]]) -> str:
        """The prompt in the folder's chat template."""
        return str(self.tokenizer.apply_chat_template(json.dumps(messages), add_generation_prompt=True))

    def token_ids(self, text: str) -> list[int]:
        """The tokens of a text, without BOS."""
        return [int(one) for one in self.tokenizer.encode(text)]

    def answer(self, prompt: list[int], max_tokens: int) -> tuple[list[int], list[numpy.ndarray], bool]:
        """Greedy tokens with the log-probabilities of each position, and whether an end token came."""
        parameters = og.GeneratorParams(self.model)
        parameters.set_search_options(max_length=min(self.context, len(prompt) + max_tokens), do_sample=False)
        generator = og.Generator(self.model, parameters)
        generator.append_tokens(numpy.array([prompt], dtype=numpy.int32))
        found: list[int] = []
        tables: list[numpy.ndarray] = []
        while len(found) < max_tokens and not generator.is_done():
            logits = generator.get_logits().reshape(-1).astype(numpy.float64)
            tables.append(logits - numpy.logaddexp.reduce(logits))
            generator.generate_next_token()
            token = int(generator.get_next_tokens()[0])
            if token in self.ends:
                return found, tables[:-1], True
            found.append(token)
        return found, tables, False


class Handler(BaseHTTPRequestHandler):
    """The paths that check_served.py asks."""

    model: Model

    def do_GET(self) -> None:
        """List the one model."""
        self._send({"data": [{"id": "onnx", "owned_by": "onnxruntime-genai"}]} if self.path == "/v1/models" else None)

    def do_POST(self) -> None:
        """Answer a chat or a text, render, or tokenize."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match self.path:
            case "/tokenize":
                self._send({"tokens": self.model.token_ids(asked["content"])})
            case "/apply-template":
                self._send({"prompt": self.model.rendered(asked["messages"])})
            case "/v1/chat/completions":
                prompt = self.model.token_ids(self.model.rendered(asked["messages"]))
                self._send(self._answered(prompt, asked, int(asked.get("top_logprobs", 0))))
            case "/v1/completions":
                prompt = asked["prompt"]
                self._send(
                    self._answered(self.model.token_ids(prompt) if isinstance(prompt, str) else prompt, asked, 0)
                )
            case _:
                self._send(None)

    def _answered(self, prompt: list[int], asked: dict[str, Any], n_top: int) -> dict[str, Any]:
        found, tables, ended = self.model.answer(prompt, int(asked["max_tokens"]))
        text = str(self.model.tokenizer.decode(numpy.array(found, dtype=numpy.int32))) if found else ""
        content = [
            {**self._token(token, table), "top_logprobs": [self._token(int(one), table) for one in top]}
            for token, table in zip(found, tables, strict=True)
            for top in [numpy.argsort(-table)[:n_top]]
        ]
        choice = {
            "message": {"role": "assistant", "content": text}, "text": text,
            "finish_reason": "stop" if ended else "length", "logprobs": {"content": content} if n_top else None,
        }  # fmt: skip
        return {"choices": [choice], "usage": {"prompt_tokens": len(prompt), "completion_tokens": len(found)}}

    def _token(self, token: int, table: numpy.ndarray) -> dict[str, Any]:
        return {"token": str(self.model.tokenizer.decode(numpy.array([token], dtype=numpy.int32))), "id": token,
                "logprob": float(table[token])}  # fmt: skip

    def _send(self, content: Any) -> None:
        body = json.dumps(content or {"error": {"message": "no such path"}}).encode()
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    Handler.model = Model(sys.argv[1])
    HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
