import gzip
import itertools
import json
import random
from collections.abc import Callable

import datasketch
import numpy as np
import pytest

from data_prep.cleaning.duplicates.candidates import by_row, candidate_pairs
from data_prep.cleaning.duplicates.minhash import ComparisonText, comparison_text, words
from data_prep.cleaning.duplicates.near_duplicates import (
    NearDuplicate,
    NearDuplicateAction,
    NearDuplicateOptions,
    band_hashes,
    joined_groups,
    near_duplicates,
)
from data_prep.cleaning.row_texts import row_texts
from pipelines.errors import UserError

OPTIONS = NearDuplicateOptions()
GROUP = NearDuplicateOptions(action=NearDuplicateAction.GROUP)
TIDES = (
    "Tides rise and fall because the moon pulls the water of the oceans towards itself, and because the earth turns "
    "under the bulge of water that this pull makes. The sun pulls as well, but less than half as strongly."
)


def row(question: str, answer: str) -> ComparisonText:
    return comparison_text(row_texts({"instruction": question, "input": "", "output": answer}))


def found(rows: list[ComparisonText], options: NearDuplicateOptions = OPTIONS) -> list[NearDuplicate]:
    pairs = candidate_pairs(band_hashes(rows, options), np.ones(len(rows), bool))
    return near_duplicates(pairs, rows.__getitem__, options)


def kept_rows(rows: list[ComparisonText], options: NearDuplicateOptions = OPTIONS) -> dict[int, int]:
    return {one.row: one.kept_row for one in found(rows, options)}


VOCABULARY = ["".join(letters) for letters in itertools.product("bdklmrst", "aeiou", "bdklmrst", "aeiou", "nst")]


def sentences(rng: random.Random, n_words: int) -> str:
    """Return text in a made-up language in which some words are frequent and most are rare."""
    ranks = (int(rng.paretovariate(0.8)) * 3571 for _ in range(n_words))
    return " ".join(VOCABULARY[rank % len(VOCABULARY)] for rank in ranks)


def edited(rng: random.Random, text: str) -> str:
    """Replace, leave out, add or misspell one word."""
    words = text.split()
    place = rng.randrange(len(words))
    word = words[place]
    changed = [[rng.choice(VOCABULARY)], [], [word, rng.choice(VOCABULARY)], [word + rng.choice(VOCABULARY)]]
    return " ".join([*words[:place], *rng.choice(changed), *words[place + 1 :]])


def with_edits(rng: random.Random, row: ComparisonText, n_edits: int) -> ComparisonText:
    texts = [*row.questions, *row.answers]
    for _ in range(n_edits):
        [place] = rng.choices(range(len(texts)), [len(text) for text in texts])
        texts[place] = edited(rng, texts[place])
    return ComparisonText(tuple(texts[: len(row.questions)]), tuple(texts[len(row.questions) :]))


def test_of_500_near_duplicates_among_20000_rows_95_percent_are_found_and_few_others():
    rng = random.Random(0)
    rows = [row(sentences(rng, rng.randint(6, 25)), sentences(rng, rng.randint(30, 120))) for _ in range(18_000)]
    rows += [
        row(
            f"What is the capital of {name}, and why are there tides?",
            f"The capital of {name} is {name[::-1]}. " + TIDES,
        )
        for name in VOCABULARY[:2_000]
    ]
    originals = rng.sample(range(18_000), 500)
    planted = [with_edits(rng, rows[one], rng.randint(1, 5)) for one in originals]
    kept = kept_rows(rows + planted)
    right = sum(kept.get(20_000 + number) == original for number, original in enumerate(originals))
    assert right >= 475
    assert sum(number < 20_000 for number in kept) <= 20_000 * 0.01


def test_near_duplicates_planted_in_real_rows_are_found(shared_data):
    rng = random.Random(4)
    with gzip.open(shared_data / "alpaca-52k" / "alpaca_data.json.gz") as file:
        rows = [comparison_text(row_texts(one)) for one in json.load(file)[:20_000]]
    long_rows = [n for n, one in enumerate(rows) if sum(len(words(text)) for text in one.questions + one.answers) >= 40]
    originals = rng.sample(long_rows, 500)
    kept = kept_rows(rows + [with_edits(rng, rows[one], rng.randint(1, 5)) for one in originals])
    assert sum(kept.get(20_000 + number) == original for number, original in enumerate(originals)) >= 475
    assert sum(number < 20_000 for number in kept) <= 10


def test_candidates_are_the_pairs_that_brute_force_and_datasketch_find():
    rng = random.Random(2)
    rows = [row(sentences(rng, rng.randint(6, 20)), sentences(rng, rng.randint(20, 80))) for _ in range(300)]
    rows += [with_edits(rng, one, rng.randint(1, 4)) for one in rng.sample(rows, 60)]
    texts = [words(" ".join(one.questions + one.answers)) for one in rows]
    shingles = [{b" ".join(pair) for pair in itertools.pairwise(text)} for text in texts]
    alike = {
        (later, earlier)
        for earlier, later in itertools.combinations(range(len(rows)), 2)
        if len(shingles[earlier] & shingles[later]) >= OPTIONS.threshold * len(shingles[earlier] | shingles[later])
    }
    lsh, by_datasketch = datasketch.MinHashLSH(threshold=OPTIONS.threshold, num_perm=128), set()
    for number, one in enumerate(shingles):
        sketch = datasketch.MinHash(num_perm=128)
        sketch.update_batch(one)
        by_datasketch |= {(number, earlier) for earlier in lsh.query(sketch)}
        lsh.insert(number, sketch)
    pairs = candidate_pairs(band_hashes(rows, OPTIONS), np.ones(len(rows), bool))
    candidates = {(later, earlier) for later, others in by_row(pairs) for earlier in others}
    assert len(alike) >= 50
    assert len(alike & candidates) >= 0.98 * len(alike)
    assert len(alike & candidates) >= len(alike & by_datasketch)
    assert len(candidates) < 2 * len(alike)


def test_of_a_cluster_the_first_living_row_is_kept():
    rows = [row("Why are there tides?", TIDES + ending) for ending in ("", " Yes.", " No.", " Truly.")]
    assert kept_rows(rows) == {1: 0, 2: 0, 3: 0}
    pairs = candidate_pairs(band_hashes(rows, OPTIONS), np.array([False, True, True, True]))
    assert [one.kept_row for one in near_duplicates(pairs, rows.__getitem__, OPTIONS)] == [1, 1]


def chain(n_rows: int) -> list[ComparisonText]:
    """Rows of which each is like the one before it, and unlike the one three before it."""
    words = sentences(random.Random(1), 60 + 6 * n_rows).split()
    return [row("What does this say to you?", " ".join(words[6 * n : 6 * n + 60])) for n in range(n_rows)]


def test_a_row_is_left_out_for_a_kept_row_only_and_grouped_over_rows_between():
    rows = chain(6)
    rejected = kept_rows(rows)
    assert rejected
    assert not rejected.keys() & set(rejected.values())
    assert kept_rows(rows, GROUP) == dict.fromkeys(range(1, 6), 0)


def test_groups_of_near_duplicates_are_joined_whole_into_the_first():
    groups = np.array([10, 20, 20, 30, 40, 30], np.uint64)
    pairs = [NearDuplicate(2, 0, 0.9), NearDuplicate(3, 1, 0.9), NearDuplicate(5, 3, 0.9)]
    assert joined_groups(groups, pairs) == {20: 0, 30: 0}
    assert joined_groups(groups, []) == {}


def test_a_thousand_copies_are_found_with_one_comparison_each():
    rows = [row("Why are there tides?", TIDES)] * 1_000
    read: list[int] = []

    def texts_of(number: int) -> ComparisonText:
        read.append(number)
        return rows[number]

    kept = near_duplicates(candidate_pairs(band_hashes(rows, OPTIONS), np.ones(1_000, bool)), texts_of, OPTIONS)
    assert [one.kept_row for one in kept] == [0] * 999
    assert len(read) == 1_000


def test_a_template_filled_with_other_words_each_time_is_kept():
    """Each two of them are alike; that there are many, each with its own word in the question, tells."""
    question, answer = "What is the chemical formula of {}, and where is it used?", "Its formula is {}. " + TIDES
    names = VOCABULARY[:400]
    rows = [row(question.format(one), answer.format(one[::-1])) for one in names]
    assert kept_rows(rows[:2]) == {1: 0}
    assert kept_rows([*rows, row(question.format(names[7]), answer.format(names[7][::-1]) + " Yes.")]) == {400: 7}


def test_the_result_is_the_same_for_any_batches_and_run_to_run():
    rng = random.Random(3)
    rows = [row(sentences(rng, 12), sentences(rng, rng.randint(0, 90))) for _ in range(300)]
    together = band_hashes(rows, OPTIONS)
    parts = [band_hashes(rows[start : start + 7], OPTIONS) for start in range(0, 300, 7)]
    assert np.array_equal(together, np.concatenate(parts))
    assert together.dtype == np.uint32
    assert together[:2].tolist() == band_hashes(rows[:2], OPTIONS).tolist()


def test_bands_may_be_a_memory_map(tmp_path):
    rows = [row("Why are there tides?", TIDES)] * 3
    np.save(tmp_path / "bands.npy", band_hashes(rows, OPTIONS))
    bands = np.load(tmp_path / "bands.npy", mmap_mode="r")
    assert len(near_duplicates(candidate_pairs(bands, np.ones(3, bool)), rows.__getitem__, OPTIONS)) == 2


def test_rows_too_short_to_judge_are_not_compared():
    assert kept_rows([row("Say hello in French.", "Bonjour!"), row("Say hello in French", "bonjour")]) == {}


def test_rows_that_are_empty_or_hold_any_bytes_are_no_error():
    texts = ["", " ", "\0", "\ud800", "a\0b " * 20, "🙂" * 50, "é" * 2_000_000]
    assert kept_rows([row(text, text) for text in texts]) == {}
    assert band_hashes([], OPTIONS).shape == (0, OPTIONS.n_bands)
    assert kept_rows([]) == {}


def test_documents_are_compared_whole():
    document = sentences(random.Random(5), 20_000)
    others = [document + " the end", sentences(random.Random(6), 20_000), document[: len(document) // 2]]
    rows = [comparison_text(row_texts({"text": text})) for text in (document, *others)]
    assert kept_rows(rows) == {1: 0}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: NearDuplicateOptions(threshold=0.1), "threshold is 0.1, expected 0.5 to 1"),
        (lambda: NearDuplicateOptions(min_words=0), "min_words is 0, expected 1 to 1000000"),
        (lambda: NearDuplicateOptions(n_bands=1000), "n_bands is 1000, expected 8 to 128"),
        (lambda: NearDuplicateOptions(action="drop"), "action is 'drop', expected reject or group"),
    ],
)
def test_options_that_cannot_be_used_are_refused(make: Callable[[], object], words: str):
    with pytest.raises(UserError, match=words):
        make()
