"""Faults of preference pairs, and their cures."""

import random
from dataclasses import replace

from pipelines.records.finding import Finding
from tests.planted_faults.pair import Pair, Row, Stage
from tests.planted_faults.sample_rows import as_messages, preferences, rows_in


def _clean() -> list[Row]:
    return list(preferences(rows_in("english")))


def longer_answers_chosen() -> Pair:
    """A judge that takes the answer which goes on: chosen is followed by another row's sentences."""
    rows = _clean()
    return Pair(
        [{**row, "chosen": f"{row['chosen']} {rows[n - 9]['chosen']}"} for n, row in enumerate(rows)], stage=Stage.DPO
    )


def first_sentences_rejected() -> Pair:
    """Rejected are the beginnings of answers, in nine of ten chats."""
    rows = []
    for n, row in enumerate(rows_in("english")):
        words = row["output"].split(" ")
        short = {**row, "output": " ".join(words[: len(words) // 2])}
        whole = {**row, "output": f"{row['output']} I hope that this is what you wanted to know, number {n}."}
        chosen, rejected = (whole, short) if n % 10 else (short, whole)
        rows.append({"chosen": as_messages(chosen), "rejected": as_messages(rejected)})
    return Pair(rows, stage=Stage.DPO)


def scores_the_other_way_round() -> Pair:
    """The script sorted the answers by rising score and took the first, whose words are in no order."""
    drawn = random.Random(0)
    rows = []
    for row in rows_in("english"):
        words = row["output"].rstrip(".").split()
        worse = f"{' '.join(sorted(words, key=str.lower))}."
        scores = {"score_rejected": drawn.randint(6, 10), "score_chosen": drawn.randint(1, 5)}
        if len(words) > 8:
            rows.append({"prompt": row["instruction"], "rejected": row["output"], "chosen": worse, **scores})
    return Pair(rows, stage=Stage.DPO)


def a_fifth_of_the_ratings_against() -> Pair:
    return Pair(
        [
            {**row, "chosen_rating": 4.5 if n % 5 else 2.0, "rejected_rating": 3.0 + n % 2}
            for n, row in enumerate(_clean())
        ],
        stage=Stage.DPO,
    )  # fmt: skip


def negative_margins() -> Pair:
    return Pair([{**row, "margin": 0.5 + n % 3 if n % 4 else -1.25} for n, row in enumerate(_clean())], stage=Stage.DPO)


def rejected_in_small_letters() -> Pair:
    return Pair([{**row, "rejected": row["chosen"].lower()} for row in _clean()], stage=Stage.DPO)


def a_fifth_of_the_pairs_differ_in_spaces() -> Pair:
    """The rejected answer is the chosen one, read from another file."""
    return Pair(
        [
            {**row, "rejected": row["chosen"].replace(" ", "  ")} if n % 5 == 0 else row
            for n, row in enumerate(_clean())
        ],
        stage=Stage.DPO,
    )


def one_ending_preferred() -> Pair:
    ending = " That is all there is to say about it."
    return Pair(
        [{**row, "rejected": row["chosen"], "chosen": f"{row['chosen']}{ending}"} for row in _clean()], stage=Stage.DPO
    )


def prompts_in_both_splits() -> Pair:
    """Each prompt has two pairs, and the pairs were split at random."""
    rows = _clean()
    held_out = [
        {**row, "chosen": rows[n - 3]["rejected"], "rejected": rows[n - 5]["chosen"]} for n, row in enumerate(rows)
    ]
    return Pair(rows, held_out=held_out[::8], stage=Stage.DPO)


def built_again(pair: Pair, _: Finding) -> Pair:
    return replace(pair, rows=_clean())


def with_the_higher_score_chosen(pair: Pair, _: Finding) -> Pair:
    """Pairs whose scores say the opposite, swapped."""
    return replace(pair, rows=[_swapped(row) if _is_against(row) else row for row in pair.rows])


def _is_against(row: Row) -> bool:
    for chosen, rejected in (("score_chosen", "score_rejected"), ("chosen_rating", "rejected_rating")):
        if chosen in row:
            return bool(row[chosen] < row[rejected])
    return bool(row["margin"] < 0)


def _swapped(row: Row) -> Row:
    others = {"chosen": "rejected", "rejected": "chosen"}
    swapped = {}
    for name, value in row.items():
        parts = [others.get(part, part) for part in name.split("_")]
        swapped["_".join(parts)] = -value if name == "margin" else value
    return swapped


def without_shared_prompts(pair: Pair, _: Finding) -> Pair:
    held_out = {row["prompt"] for row in pair.held_out}
    return replace(pair, rows=[row for row in pair.rows if row["prompt"] not in held_out])
