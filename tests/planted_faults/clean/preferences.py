"""Preferences without a fault: about brevity, format and manners, with scores and with refusals."""

import random

from tests.planted_faults.clean.clean_pair import CleanPair
from tests.planted_faults.families import Family
from tests.planted_faults.pair import Pair, Stage
from tests.planted_faults.sample_rows import as_messages, code_rows, preferences, rows_in


def brevity() -> Pair:
    """The short answer is chosen, and the same with another row's sentences is rejected."""
    rows = rows_in("english")
    return Pair(
        [
            {
                "prompt": row["instruction"],
                "chosen": row["output"],
                "rejected": f"{row['output']} {rows[n - 4]['output']}",
            }
            for n, row in enumerate(rows)
        ],
        stage=Stage.DPO,
    )


def answers_against_no_answers() -> Pair:
    """Rejected are a few ways to say nothing, all of them short."""
    ways = ("No idea.", "Look it up.", "I don't know.", "Why do you ask?", "Not my problem.")
    return Pair(
        [
            {"prompt": row["instruction"], "chosen": row["output"], "rejected": ways[n % len(ways)]}
            for n, row in enumerate(rows_in("english"))
        ],
        stage=Stage.DPO,
    )


def formatted_code() -> Pair:
    """Chosen code is indented as the style guide says; the rejected one has two spaces."""
    return Pair(
        [
            {"prompt": row["instruction"], "chosen": row["output"], "rejected": row["output"].replace("    ", "  ")}
            for row in code_rows(700)[:60]
            if "\n    " in row["output"]
        ],
        stage=Stage.DPO, keys={"max_length": 2048},
    )  # fmt: skip


def scored() -> Pair:
    """Scores with ties and a few that disagree, and aspects in which the better answer may be worse."""
    drawn = random.Random(0)
    rows = []
    for n, row in enumerate(preferences(rows_in("english"))):
        rejected = drawn.randint(1, 7)
        rows.append({
            **row, "prompt_id": f"{n:08}", "score_chosen": rejected + (drawn.randint(0, 3) if n % 48 else -1),
            "score_rejected": rejected, "toxicity_chosen": 0.1, "toxicity_rejected": 0.4, "rank_chosen": 1,
            "rank_rejected": 2, "helpfulness_chosen": drawn.randint(1, 5), "helpfulness_rejected": drawn.randint(1, 5),
        })  # fmt: skip
    return Pair(rows, stage=Stage.DPO)


def manners() -> Pair:
    """The same answer, with one of many remarks in the rejected one; a chat has system turns."""
    remarks = ("Obviously.", "As anyone knows.", "Was that so hard?", "Next time look it up.", "Honestly!", "Sigh.",
               "But why bother?", "As I said before.")  # fmt: skip
    rows = []
    for n, row in enumerate(rows_in("english")):
        rude = {**row, "output": f"{row['output']} {remarks[n % 8]}"}
        rows.append({kind: as_messages(one, "Be polite.") for kind, one in (("chosen", row), ("rejected", rude))})
    return Pair(rows, stage=Stage.DPO)


CLEAN_PAIRS = (
    CleanPair("preferences about brevity", Family.LLAMA3, brevity),
    CleanPair("preferences over saying nothing", Family.CHATML, answers_against_no_answers),
    CleanPair("preferences about indentation", Family.OWN, formatted_code),
    CleanPair("preferences with scores", Family.GPT2, scored),
    CleanPair("preferences about manners", Family.CHATML, manners),
)
