"""How the SFT benchmarks measure: programs in turns, and the picture; small programs stand for the trainers."""

import os
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from tests.benchmarks.sft_throughput import Program, run_in_turns

TRAINER = """
import json, pathlib, sys, time
name, order, begin, folder = sys.argv[1:4] + sys.argv[5:]
logs = []
for number in range(1, 5):
    with open(order, "a") as file:
        file.write(name)
    logs.append({"loss": 2.5 - number / 2, "num_tokens": 10 * number})
    print(begin.format(number), flush=True)
    time.sleep(0.2)
checkpoint = pathlib.Path(folder, "checkpoint-4")
checkpoint.mkdir(parents=True)
(checkpoint / "trainer_state.json").write_text(json.dumps({"log_history": [*logs, {"train_runtime": 1}]}))
"""


def trainers(folder, *begins):
    (folder / "trainer.py").write_text(TRAINER)
    return [
        Program([sys.executable, "trainer.py", name, "order", begin], folder, dict(os.environ), folder / name)
        for name, begin in zip("AB", begins, strict=True)
    ]


def test_programs_take_their_steps_in_turns(tmp_path):
    first, second = run_in_turns(trainers(tmp_path, "step {}/4 \u00b7 loss 2", "{{'loss': '2', 'epoch': '{}'}}"))
    assert (tmp_path / "order").read_text() == "ABABABAB"
    assert first.tokens == second.tokens == [10, 20, 30, 40]
    assert first.losses == second.losses == [2.0, 1.5, 1.0, 0.5]


def test_the_speed_leaves_out_the_steps_that_warm_up(tmp_path):
    measured, _ = run_in_turns(trainers(tmp_path, "step {}/4 ", "step {}/4 "))
    assert len(measured.wall_seconds) == 4
    assert measured.speed("wall_seconds") == pytest.approx(20 / sum(measured.wall_seconds[2:]))


def test_a_program_that_fails_ends_the_benchmark_with_its_last_words(tmp_path):
    [program] = [Program([sys.executable, "-c", "raise SystemExit('no such model')"], tmp_path, {}, tmp_path / "run")]
    with pytest.raises(SystemExit, match="no such model"):
        run_in_turns([program])


def test_the_picture_has_a_chart_for_each_figure_and_kind():
    from tests.benchmarks.growth.sft import picture

    case = {"tokens per CPU second": 1200.0, "peak memory, MiB": 900.0}
    found = {kind: {"1,000": case, "10,000": case} for kind in ("rows", "length")}
    drawn = ElementTree.fromstring(picture(found))
    assert len(drawn.findall("{*}polyline")) == 4
    assert "peak memory, MiB by length" in [text.text for text in drawn.findall("{*}text")]
