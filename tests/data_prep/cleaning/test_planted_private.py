"""What is planted among 20,000 clean rows is found: 200 contaminated rows, 100 of personal data, 100 with a secret."""

import json
import random
from itertools import islice
from pathlib import Path

import pytest

from data_prep.cleaning.row_texts import row_texts
from data_prep.cleaning.step import Changed
from data_prep.cleaning.steps import contamination, credentials, personal_data
from tests.data_prep.cleaning.made_keys import MAKERS
from tests.data_prep.cleaning.made_rows import (
    PERSONAL,
    contaminated,
    evaluation_rows,
    generated_rows,
    planted,
    recombined_rows,
)

SHARED = Path(__file__).parents[4] / "shared" / "data"
N_CLEAN, N_CONTAMINATED, N_PRIVATE = 20_000, 200, 100


@pytest.fixture(scope="module", params=["generated", "real"])
def rows(request):
    generator = random.Random(11)
    if request.param == "generated":
        source = generated_rows(generator)
    elif (SHARED / "alpaca-52k").is_dir():
        source = recombined_rows(SHARED, generator)
    else:
        pytest.skip("the real sets are not here")
    return generator, list(islice(source, N_CLEAN)), source


def n_found(step, clean):
    return sum(step(row_texts(row)) is not None for row in clean)


def test_contaminated_rows_are_rejected_and_clean_ones_are_not(rows, tmp_path):
    generator, clean, source = rows
    evaluation = list(evaluation_rows(generator, 500))
    names = []
    for kind in range(5):
        path = tmp_path / f"{kind}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in evaluation[kind::5]))
        names.append(str(path))
    step = contamination.STEPS[0].make(contamination.ContaminationOptions(against=tuple(names)))
    marked = [contaminated(row, next(source), generator) for row in generator.sample(evaluation, N_CONTAMINATED)]
    assert n_found(step, marked) >= 0.95 * N_CONTAMINATED
    assert n_found(step, clean) <= 0.01 * N_CLEAN


def test_personal_data_is_replaced_and_clean_rows_are_left_alone(rows):
    generator, clean, source = rows
    step = personal_data.STEPS[0].make(personal_data.PersonalDataOptions())
    kinds = [list(PERSONAL)[number % len(PERSONAL)] for number in range(N_PRIVATE)]
    marked = [(kind, planted(next(source), PERSONAL[kind](generator), generator)) for kind in kinds]
    verdicts = [(kind, step(row_texts(row))) for kind, row in marked]
    n_right = sum(isinstance(verdict, Changed) and kind in verdict.counts for kind, verdict in verdicts)
    assert n_right >= 0.95 * N_PRIVATE
    assert n_found(step, clean) <= 0.01 * N_CLEAN


def test_secrets_are_replaced_and_clean_rows_are_left_alone(rows):
    generator, clean, source = rows
    step = credentials.STEPS[0].make(credentials.SecretsOptions())
    n_gone = 0
    for number in range(N_PRIVATE):
        key = list(MAKERS.values())[number % len(MAKERS)](generator)
        verdict = step(row_texts(planted(next(source), key, generator)))
        n_gone += verdict is not None and all(key not in text for text in verdict.texts)
    assert n_gone >= 0.95 * N_PRIVATE
    assert n_found(step, clean) <= 0.01 * N_CLEAN
