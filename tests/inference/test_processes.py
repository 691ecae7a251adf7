"""Several processes measure as one does: every item once, results in order, and an error of one ends all."""

import pytest

from pipelines.errors import UserError
from pipelines.inference.processes import is_main_process, measured_by_all
from tests.run_files import read_json

SCRIPT = """
import json, sys
from pathlib import Path
from pipelines.command_line import run_program
from pipelines.errors import UserError
from pipelines.inference.processes import is_main_process, made_once, measured_by_all, processes

seen, made = [], []

def square(items):
    seen.extend(items)
    return [item * item for item in items]

def refuse(items):
    if processes().process_index == 1:
        raise UserError("rank 1 is odd", "continue")
    return items

def refuse_first():
    raise UserError("rank 0 is odd", "continue")

def main(_):
    results = [measured_by_all(list(range(n)), square) for n in (7, 1, 0)]
    try:
        measured_by_all([1, 2, 3], refuse)
        refused = None
    except UserError as error:
        refused = str(error)
    made_once(lambda: made.append(1))
    thing = made_once(lambda: {"rank": processes().process_index})
    try:
        made_once(lambda: refuse_first())
        unmade = None
    except UserError as error:
        unmade = str(error)
    told = {"results": results, "seen": seen, "refused": refused, "main": is_main_process()}
    told |= {"made": made, "thing": thing, "unmade": unmade}
    Path(sys.argv[1], f"{processes().process_index}.json").write_text(json.dumps(told))

run_program(main)
"""


def test_two_processes_share_the_items_or_one_makes_a_thing_and_both_get_it(tmp_path, run_cli):
    (tmp_path / "script.py").write_text(SCRIPT)
    run_cli(tmp_path / "script.py", tmp_path, n_processes=2)
    first, second = (read_json(tmp_path / f"{rank}.json") for rank in (0, 1))
    assert first["results"] == second["results"] == [[0, 1, 4, 9, 16, 25, 36], [0], []]
    assert (first["seen"], second["seen"]) == ([0, 2, 4, 6, 0], [1, 3, 5])
    assert first["refused"] == second["refused"] == "rank 1 is odd; continue"
    assert (first["main"], second["main"]) == (True, False)
    assert (first["made"], second["made"]) == ([1], [])
    assert first["thing"] == second["thing"] == {"rank": 0}
    assert first["unmade"] == second["unmade"] == "rank 0 is odd; continue"


def test_one_process_measures_all_and_its_error_stays_what_it_is():
    def refuse(_: object) -> list[int]:
        raise UserError("a", "b")

    assert measured_by_all([3, 1, 2], lambda items: [item + 1 for item in items]) == [4, 2, 3]
    assert is_main_process()
    with pytest.raises(UserError, match="a; b"):
        measured_by_all([1], refuse)
