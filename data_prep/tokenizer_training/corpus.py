"""The texts that a tokenizer is trained on, and held-out ones to measure it with."""

from dataclasses import dataclass
from pathlib import Path

from data_prep.dataset_folder import is_dataset_folder, read_dataset_folder, read_manifest
from pipelines.errors import UserError
from pipelines.files import read_text, sha256_of_file

HELD_OUT_TAIL = 0.05


@dataclass(frozen=True)
class TokenizerCorpus:
    """Texts to train on and to measure on; `measured_on` says in words what the second are."""

    train: list[str]
    held_out: list[str]
    measured_on: str
    sha256: str


def read_tokenizer_corpus(path: Path) -> TokenizerCorpus:
    """A corpus folder (train split only) or a text file (whole; its last 5% also serve to measure).

    A character-level tokenizer must know every character of its file, so nothing of a file is kept from training.
    Raises `UserError` if there is no text.
    """
    if is_dataset_folder(path):
        return _read_folder(path)
    if path.is_dir():
        raise UserError(
            expected=f"a text file or a corpus folder as --corpus {path}",
            got="a folder without manifest.json",
            remedy="make a corpus of it first with data_prep/build_corpus.py",
        )
    text = read_text(path)
    if not text.strip():
        raise UserError(expected=f"text in {path}", got="none", remedy="name another --corpus")
    tail = text[int(len(text) * (1 - HELD_OUT_TAIL)) :]
    return TokenizerCorpus([text], [tail], "the file's last 5%, which training saw", sha256_of_file(path))


def _read_folder(folder: Path) -> TokenizerCorpus:
    manifest = read_manifest(folder)
    if manifest["kind"] != "corpus":
        raise UserError(
            expected=f"a corpus folder as --corpus {folder}",
            got=f"a folder of kind {manifest['kind']}",
            remedy="make a corpus with data_prep/build_corpus.py",
        )
    train = list(read_dataset_folder(folder, "train")["text"])
    measured = next((split for split in ("validation", "test") if manifest["n_rows"].get(split)), "train")
    held_out = list(read_dataset_folder(folder, measured)["text"])
    return TokenizerCorpus(train, held_out, f"{measured} split", manifest["content_sha256"]["train"])
