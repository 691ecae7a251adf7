"""Train a tokenizer: character-level, byte-level BPE or unigram.

    python data_prep/train_tokenizer.py --corpus my_text.txt --kind char --output runs/tokenizer
    python data_prep/train_tokenizer.py --corpus runs/corpus --kind bpe --vocab_size 4096 --output runs/tokenizer

A laptop needs seconds. --corpus is a text file, or a folder of build_corpus.py (only its train split is read). --output
becomes a folder that AutoTokenizer loads. Special tokens: end of text <|endoftext|>, padding <|pad|>, and <|im_start|>
and <|im_end|> for a chat template. There is no beginning-of-text token and no template. `bpe` and `unigram` decode to
exactly the text they encoded; `char` does so for the characters of the corpus and encodes any other as <|unk|>. The
same corpus gives the same files, byte by byte. tokenizer_record.json, written last, records what the tokenizer was
trained on and its bytes per token on held-out text.
"""

from collections.abc import Sequence
from pathlib import Path

from data_prep.dataset_folder import data_versions, refuse_output
from data_prep.sources import command_of
from pipelines.command_line import ArgumentParser, positive_number, run_program


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="a text file or a corpus folder")
    parser.add_argument("--kind", choices=["char", "bpe", "unigram"], default="bpe", help="type of token (bpe)")
    parser.add_argument("--vocab_size", type=positive_number, help="tokens, special ones included (default 4096)")
    parser.add_argument("--output", type=Path, required=True, help="the tokenizer folder to make")
    parser.add_argument("--seed", type=int, default=0, help="recorded only: training is deterministic (0)")
    parser.add_argument("--overwrite", action="store_true", help="replace the contents of --output")
    options = parser.parse_args(arguments)

    from data_prep.tokenizer_training import (
        RECORD_NAME,
        TokenizerKind,
        bytes_per_token,
        read_tokenizer_corpus,
        save_tokenizer,
        train,
    )

    refuse_output(options.output, options.overwrite, RECORD_NAME)  # before the work, not after it
    kind = TokenizerKind(options.kind)
    corpus = read_tokenizer_corpus(options.corpus)
    tokenizer = train(corpus.train, kind, options.vocab_size)
    n_bytes_per_token = bytes_per_token(tokenizer, corpus.held_out)
    record = {
        "kind": "tokenizer",
        "tokenizer_kind": kind.value,
        "vocab_size": tokenizer.get_vocab_size(),
        "corpus": {"path": str(options.corpus), "sha256": corpus.sha256},
        "bytes_per_token": {"value": round(n_bytes_per_token, 4), "measured_on": corpus.measured_on},
        "seed": options.seed,
        "versions": data_versions(),
        "command": command_of("train_tokenizer.py", arguments),
    }
    save_tokenizer(tokenizer, options.output, record, options.overwrite)
    print(f"{options.output}: {kind.value} tokenizer of {tokenizer.get_vocab_size():,} tokens")
    if options.vocab_size is not None and tokenizer.get_vocab_size() < options.vocab_size:
        print(f"  note: the corpus has no more; {options.vocab_size:,} were requested")
    print(f"  {n_bytes_per_token:.3f} bytes per token on {corpus.measured_on}")


if __name__ == "__main__":
    run_program(main)
