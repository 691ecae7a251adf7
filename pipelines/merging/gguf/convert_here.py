"""Run llama.cpp's converter with the facts that it guesses wrong; runs as a process of its own.

    python -m pipelines.merging.gguf.convert_here REQUEST.json

REQUEST.json holds the `converter`, the model's `folder`, the `file` to write, its `type`, the `vocabulary`
(`GgufVocabulary`), whether BOS and EOS are added (`adds_bos`, `adds_eos`), all `end_ids`, the tokenizer's EOS first,
and the ids of tokens that no text has (`unreachable`).
"""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

from pipelines.files import read_json
from pipelines.merging.gguf.vocabulary import Model, pieces_and_scores


def convert(request: dict[str, Any]) -> None:
    """Write the GGUF file of `request`. Raises and exits as the converter does."""
    converter = Path(request["converter"])
    sys.path[:0] = [str(converter.parent), str(converter.parent / "gguf-py")]
    from conversion.base import TextModel

    _correct_vocabulary(TextModel, request)
    sys.argv = [str(converter), request["folder"], "--outfile", request["file"], "--outtype", request["type"]]
    runpy.run_path(str(converter), run_name="__main__")


def _correct_vocabulary(text_model: Any, request: dict[str, Any]) -> None:
    """Replace what the converter's base class knows of tokenizers.

    It knows a pre-tokenizer by the hash of a text's token ids, which a vocabulary of one's own changes; it has no
    scores for a tokenizer.json without tokenizer.model; and where it does not say whether BOS is added, llama.cpp
    decides by the name of the pre-tokenizer.
    """
    vocabulary = request["vocabulary"]
    prepare_metadata, get_vocab_base = text_model.prepare_metadata, text_model.get_vocab_base

    def vocab_base(self: Any) -> Any:
        import gguf

        tokens, kinds, pre = get_vocab_base(self)
        for number in request["unreachable"]:
            tokens[number], kinds[number] = f"[UNUSED{number}]", gguf.TokenType.UNUSED
        return tokens, kinds, pre

    def create_vocab_sentencepiece(self: Any) -> Any:
        if vocabulary["model"] == Model.BYTES:
            raise FileNotFoundError  # the converter then writes byte-level BPE
        import gguf

        content = read_json(self.dir_model / "tokenizer.json")
        tokens, scores, kinds = zip(*pieces_and_scores(content, self.hparams["vocab_size"]), strict=True)
        return list(tokens), list(scores), [gguf.TokenType[kind] for kind in kinds]

    def prepared(self: Any, vocab_only: bool) -> None:
        prepare_metadata(self, vocab_only=vocab_only)
        writer = self.gguf_writer
        writer.add_add_bos_token(request["adds_bos"])
        writer.add_add_eos_token(request["adds_eos"])
        if vocabulary["model"] == Model.PIECES:
            writer.add_add_space_prefix(vocabulary["space_prefix"])
        ids = [writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id]
        for add, end_id in zip(ids, request["end_ids"], strict=False):
            add(end_id)

    text_model.get_vocab_base_pre = lambda *_: vocabulary["pre"]
    text_model.get_vocab_base = vocab_base
    text_model._create_vocab_sentencepiece = create_vocab_sentencepiece
    if vocabulary["model"] == Model.PIECES:
        text_model._set_vocab_gpt2 = text_model._set_vocab_sentencepiece
    text_model.prepare_metadata = prepared


if __name__ == "__main__":
    convert(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
