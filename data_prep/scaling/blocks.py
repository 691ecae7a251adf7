"""The blocks that a build adds to a datatrove pipeline: documents of the sources, and their MinHash signatures."""

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.utils.word_tokenizers import WordTokenizer

from data_prep.building.job import Job, UnitResult
from data_prep.building.reading import UnitReader
from data_prep.building.shards import Shards
from data_prep.cleaning.duplicates.minhash import UNSPACED_CHARACTER

_CHARS_AT_ONCE = 1_000_000
_SHINGLES_AT_ONCE = 4096  # datatrove takes some KB of memory for each


def units_path(folder: Path, rank: int) -> Path:
    """Return the file with the units that one task reads."""
    return folder / f"{rank:05}.units"


def results_path(folder: Path, rank: int) -> Path:
    """Return the file with what one task read, written when all its units are done."""
    return folder / f"{rank:05}.results"


class CleanedDocuments(PipelineStep):
    """Read and clean the units of one task: kept rows, rejects and changes are written as in every build, and the
    texts of the kept rows go to the next block."""

    type = "📖 - READER"
    name = "sources, cleaned"

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job
        self.started_in = Path.cwd()

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:  # noqa: ARG002
        """Yield the kept documents in source order."""
        os.chdir(self.started_in)  # of paths in the job, on another machine too
        reader, results = UnitReader(self.job), []
        for unit in pickle.loads(units_path(self.job.folder, rank).read_bytes()):
            with self.track_time("unit"):
                results.append(reader.read(unit))
            yield from self._documents(results[-1])
        results_path(self.job.folder, rank).write_bytes(pickle.dumps(results))

    def _documents(self, result: UnitResult) -> Iterator[Document]:
        shards = Shards(self.job.folder, result.shards)
        for place, shard in enumerate(result.shards):
            for number, text in enumerate(shards.table(place)["text"]):
                document = Document(text.as_py(), f"{shard.name}/{number}")
                self.update_doc_stats(document)
                yield document


class SpacedWords(WordTokenizer):
    """Splits text that MinHash has simplified at its spaces, in any language; a character of a script without spaces
    is a word. datatrove's splitters take eight times as long, and a package for each language."""

    def word_tokenize(self, text: str) -> list[str]:
        """Return the words of a text."""
        return (text if text.isascii() else UNSPACED_CHARACTER.sub(r" \g<0> ", text)).split()

    def sent_tokenize(self, text: str) -> list[str]:
        """Not used by MinHash."""
        raise NotImplementedError

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """Not used by MinHash."""
        raise NotImplementedError


class BoundedSignature(MinhashDedupSignature):
    """MinHash signatures whose memory does not grow with the document. A text over a million characters is cut into
    parts, whose shingles are counted together."""

    def __init__(self, output_folder: str, config: MinhashConfig) -> None:
        super().__init__(output_folder, config, language=SpacedWords())

    def get_shingles(self, text: str) -> np.ndarray:
        """Return the hashes of all runs of words, of shape (runs, 1)."""
        parts = [text[start : start + _CHARS_AT_ONCE] for start in range(0, len(text), _CHARS_AT_ONCE)]
        return np.concatenate([MinhashDedupSignature.get_shingles(self, part) for part in parts or [""]])

    def get_signature(self, shingles: np.ndarray) -> list[list[int]]:
        """Return the smallest hashes of each bucket; those of a whole are the smallest of its parts."""
        starts = range(0, len(shingles), _SHINGLES_AT_ONCE)
        parts = [MinhashDedupSignature.get_signature(self, shingles[at : at + _SHINGLES_AT_ONCE]) for at in starts]
        return np.min(np.array(parts, np.uint64), axis=0).tolist()
