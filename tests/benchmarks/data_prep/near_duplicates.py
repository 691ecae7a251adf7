r"""Near duplicates: speed and recall against row-by-row datasketch, and a seeded sample of pairs to read.

    python -m tests.benchmarks.data_prep.near_duplicates alpaca_data.json.gz --rows 20000
    python -m tests.benchmarks.data_prep.near_duplicates dolly.jsonl --pairs 30 --seed 0

Several sources are read one after the other, as one set. With `--pairs` only the
pairs are printed, both rows in full. `--planted` copies this many rows and edits one to five words of each copy.
"""

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from datasketch import MinHash, MinHashLSH
from scipy.sparse import csr_matrix

from data_prep.cleaning.duplicates.candidates import candidate_pairs
from data_prep.cleaning.duplicates.minhash import ComparisonText, comparison_text, words
from data_prep.cleaning.duplicates.near_duplicates import NearDuplicateOptions, band_hashes, near_duplicates
from data_prep.cleaning.row_texts import row_texts
from data_prep.dataset_folder import DatasetKind
from data_prep.sources import ReadCounts, ReadOptions, SourceRow, plan_source, read_unit

Pair = tuple[int, int]
OPTIONS = NearDuplicateOptions()


def read_rows(source: str, kind: DatasetKind) -> Iterator[ComparisonText]:
    """Yield what is compared of each row of a source."""
    options = ReadOptions(kind)
    for unit in plan_source(source, options, source).units:
        for row in read_unit(unit, options, ReadCounts()):
            if isinstance(row, SourceRow):
                yield comparison_text(row_texts(row.fields))


def planted(rows: Sequence[ComparisonText], n_rows: int, seed: int) -> list[ComparisonText]:
    """Return copies of rows of 40 words or more, with one to five words replaced, left out, added or misspelled."""
    rng = random.Random(seed)
    vocabulary = [
        word for row in rng.sample(rows, min(500, len(rows))) for text in row.answers for word in text.split()
    ]
    long_rows = [row for row in rows if sum(len(text.split()) for text in (*row.questions, *row.answers)) >= 40]
    return [_edited(rng, row, vocabulary) for row in rng.sample(long_rows, n_rows)]


def _edited(rng: random.Random, row: ComparisonText, vocabulary: Sequence[str]) -> ComparisonText:
    texts = [text.split(" ") for text in (*row.questions, *row.answers)]
    for _ in range(rng.randint(1, 5)):
        [text] = rng.choices(texts, [len(one) for one in texts])
        place = rng.randrange(len(text))
        new = rng.choice(vocabulary)
        text[place : place + 1] = rng.choice([[new], [], [text[place], new], [text[place] + new[:1]]]) or [""]
    joined = [" ".join(text) for text in texts]
    return ComparisonText(tuple(joined[: len(row.questions)]), tuple(joined[len(row.questions) :]))


def word_pairs(row: ComparisonText) -> set[bytes]:
    """Return the pairs of neighboring words of a row: the shingles of both libraries and of the exact Jaccard."""
    return {b" ".join(pair) for text in (*row.questions, *row.answers) for pair in pairwise(words(text))}


def datasketch_candidates(rows: Sequence[ComparisonText]) -> set[Pair]:
    """Return the candidates of datasketch, row by row: update with each shingle, query, insert."""
    lsh, found = MinHashLSH(threshold=OPTIONS.threshold, num_perm=128), set()
    for number, row in enumerate(rows):
        sketch = MinHash(num_perm=128)
        for pair in word_pairs(row):
            sketch.update(pair)
        found |= {(number, int(other)) for other in lsh.query(sketch)}
        lsh.insert(str(number), sketch)
    return found


def own_pairs(rows: Sequence[ComparisonText]) -> Any:
    """Return the candidates of this project before they are verified."""
    return candidate_pairs(band_hashes(rows, OPTIONS), np.ones(len(rows), bool))


def own_candidates(rows: Sequence[ComparisonText]) -> set[Pair]:
    """Return the candidates as pairs of row numbers."""
    return {(int(pair >> np.uint64(32)), int(pair & np.uint64(0xFFFFFFFF))) for pair in own_pairs(rows)}


def own_near_duplicates(rows: Sequence[ComparisonText]) -> list[Any]:
    """Return the verified near duplicates of this project."""
    return near_duplicates(own_pairs(rows), rows.__getitem__, OPTIONS)


def exact_pairs(rows: Sequence[ComparisonText]) -> set[Pair]:
    """Return all pairs of rows with a Jaccard similarity of the threshold or more, in the whole row and in the answer.

    By brute force: a matrix of rows and word pairs is multiplied with itself.
    """
    shingles = [word_pairs(row) for row in rows]
    numbers = {pair: number for number, pair in enumerate(sorted(set().union(*shingles)))}
    columns = [numbers[pair] for one in shingles for pair in one]
    starts = np.cumsum([0, *map(len, shingles)])
    matrix = csr_matrix((np.ones(len(columns), np.int32), columns, starts), (len(rows), len(numbers)))
    shared = (matrix @ matrix.T).tocoo()
    sizes = np.array([len(one) for one in shingles])
    alike = shared.data >= OPTIONS.threshold * (sizes[shared.row] + sizes[shared.col] - shared.data)
    pairs = zip(shared.row[alike].tolist(), shared.col[alike].tolist(), strict=True)
    return {
        (one, other) for one, other in pairs if one > other and _jaccard(rows[one], rows[other]) >= OPTIONS.threshold
    }


def _jaccard(row: ComparisonText, other: ComparisonText) -> float:
    mine, yours = (word_pairs(ComparisonText((), one.answers)) for one in (row, other))
    return len(mine & yours) / max(len(mine | yours), 1)


def compare(some: Sequence[ComparisonText], n_planted: int, n_exact: int) -> None:
    """Print rows per second of both, and how many pairs of the last `n_exact` rows that brute force finds they find."""
    for name, search in (("datasketch", datasketch_candidates), ("data_prep", own_near_duplicates)):
        start, processor = time.perf_counter(), time.process_time()
        n_found = len(search(some))
        seconds, busy = time.perf_counter() - start, time.process_time() - processor
        speed = f"{len(some) / seconds:.0f} rows/s ({len(some) / busy:.0f} of the processor)"
        print(f"{name}: {len(some)} rows, {speed}, {n_found} found")
    found = [one.row >= len(some) - n_planted for one in own_near_duplicates(some)]
    print(f"planted: {sum(found)} of {n_planted} found, and {len(found) - sum(found)} among the other rows")
    start = time.process_time()
    band_hashes(some, OPTIONS)
    n_chars = sum(len(text) for row in some for text in (*row.questions, *row.answers)) / len(some)
    print(f"band_hashes: {(time.process_time() - start) / len(some) * 1e6:.1f} us a row of {n_chars:.0f} characters")
    some = some[-n_exact:]
    exact = exact_pairs(some)
    for name, found in (("datasketch", datasketch_candidates(some)), ("data_prep", own_candidates(some))):
        print(f"{name}: {len(exact & found)} of {len(exact)} pairs at {OPTIONS.threshold}, {len(found)} candidates")


def print_pairs(rows: Sequence[ComparisonText], n_pairs: int, seed: int) -> None:
    """Print a seeded sample of the near duplicates with both rows in full."""
    found = own_near_duplicates(rows)
    print(f"{len(found)} near duplicates of {len(rows)} rows")
    for one in sorted(random.Random(seed).sample(found, min(n_pairs, len(found))), key=lambda pair: pair.row):
        print(f"\n=== {one.kept_row} and {one.row}: {one.similarity}")
        for number in (one.kept_row, one.row):
            print("\n--- ".join(["", *rows[number].questions, *rows[number].answers]))


def main() -> None:
    """Read the sources and measure, or print pairs."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("sources", nargs="+")
    flags.add_argument("--kind", type=DatasetKind, default=DatasetKind.INSTRUCTIONS)
    flags.add_argument("--rows", type=int, default=20_000, help="with the planted ones")
    flags.add_argument("--exact_rows", type=int, default=3_000)
    flags.add_argument("--planted", type=int, default=500)
    flags.add_argument("--pairs", type=int, default=0)
    flags.add_argument("--seed", type=int, default=0)
    options = flags.parse_args()
    rows = [row for source in options.sources for row in read_rows(source, options.kind)]
    if options.pairs:
        print_pairs(rows, options.pairs, options.seed)
        return
    rows = rows[: options.rows - options.planted]
    compare([*rows, *planted(rows, options.planted, options.seed)], options.planted, options.exact_rows)


if __name__ == "__main__":
    main()
