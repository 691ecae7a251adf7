"""Read the texts that a tokenizer is trained on, and held-out ones to measure it."""

from dataclasses import dataclass
from pathlib import Path

from data_prep.dataset_folder import is_dataset_folder, read_dataset_folder, read_manifest
from pipelines.errors import UserError
from pipelines.files import read_text, sha256_of_file

HELD_OUT_TAIL = 0.05


@dataclass(frozen=True)
class TokenizerCorpus:
    """Texts to train on and to measure on; `measured_on` describes the second."""

    train: list[str]
    held_out: list[str]
    measured_on: str
    sha256: str


def read_tokenizer_corpus(path: Path) -> TokenizerCorpus:
    """Read a corpus folder (train split only) or a text file (all of it; its last 5% are measured).

    A character-level tokenizer must know every character of its file, so nothing is held out. Raises `UserError` if
    there is no text.
    """
    if is_dataset_folder(path):
        return _read_folder(path)
    if path.is_dir():
        problem = f"--corpus {path} has no manifest.json, expected a text file or a corpus folder"
        raise UserError(problem, "make a corpus of it with data_prep/build_corpus.py")
    text = read_text(path)
    if not text.strip():
        raise UserError(f"--corpus {path} has no text", "name another file")
    tail = text[int(len(text) * (1 - HELD_OUT_TAIL)) :]
    return TokenizerCorpus([text], [tail], "the file's last 5%, which training saw", sha256_of_file(path))


def _read_folder(folder: Path) -> TokenizerCorpus:
    manifest = read_manifest(folder)
    if manifest["kind"] != "corpus":
        problem = f"--corpus {folder} is a {manifest['kind']} folder, expected a corpus"
        raise UserError(problem, "make a corpus with data_prep/build_corpus.py")
    train = list(read_dataset_folder(folder, "train")["text"])
    measured = next((split for split in ("validation", "test") if manifest["n_rows"].get(split)), "train")
    held_out = list(read_dataset_folder(folder, measured)["text"])
    return TokenizerCorpus(train, held_out, f"{measured} split", manifest["content_sha256"]["train"])
