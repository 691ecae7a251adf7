import json
from pathlib import Path

import pytest

from pipelines.benchmark import main
from pipelines.errors import UserError
from tests.conftest import one_line_error
from tests.evaluation.lm_eval.local_tasks import CHOOSING, WRITING, write_rows, write_task


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path)
    write_task(tmp_path, "choosing", CHOOSING)
    write_task(tmp_path, "writing", WRITING)
    return tmp_path


def test_two_local_tasks_are_run_offline_and_recorded_side_by_side(tiny_model_folder, folder, capsys):
    models = ["--base", str(tiny_model_folder), *["--instruct", str(tiny_model_folder)] * 2]
    tasks = ["--tasks", "choosing,writing", "--include_path", str(folder), "--num_fewshot", "1", "--limit", "6"]
    output = folder / "benchmark.json"
    main([*models, *tasks, "--seed", "2", "--output", str(output)])
    record = json.loads(output.read_text())
    assert (record["kind"], record["seed"], record["limit"], record["num_fewshot"]) == ("benchmark", 2, 6, 1)
    assert record["fewshot_as_multiturn"] is True
    templates = {name: found["template"] for name, found in record["models"].items()}
    assert templates == {"base": False, "tiny": True, "tiny_2": True}
    assert {found["fingerprint"] for found in record["models"].values()} != {None}
    assert record["models"]["base"].keys() == {"path", "fingerprint", "template", "computed_in"}
    assert [(one["task"], one["metric"], one["version"], one["n_shot"], one["n"]) for one in record["results"]] == [
        ("choosing", "acc", "1.5", 1, 6),
        ("writing", "exact_match", "1.5", 1, 6),
    ]
    for result in record["results"]:
        assert result["models"].keys() == {"base", "tiny", "tiny_2"}
        difference = result["models"]["tiny"]["value"] - result["models"]["base"]["value"]
        assert result["difference"]["tiny"]["value"] == pytest.approx(difference)
        assert result["difference"]["tiny"] == result["difference"]["tiny_2"]
        assert result["models"]["tiny"] == result["models"]["tiny_2"]
    shown = capsys.readouterr()
    assert "choosing  acc ↑" in shown.out
    assert shown.err.count("\n") == 3  # a line for each model, and nothing of the harness
    with pytest.raises(UserError, match=r"exists|is not empty"):
        main([*models, *tasks, "--output", str(output)])


def test_an_instruct_model_without_a_chat_template_is_refused_before_anything_runs(shared_data, tiny_model_folder):
    bare = str(shared_data / "models" / "hf-stories260K")
    with pytest.raises(UserError, match="chat template"):
        main(["--base", str(tiny_model_folder), "--instruct", bare, "--tasks", "no such task"])


@pytest.mark.parametrize(("flag", "value"), [("--tasks", " , "), ("--limit", "0"), ("--num_fewshot", "-1")])
def test_a_flag_that_means_nothing_is_refused(flag, value):
    with pytest.raises(UserError, match=flag):
        main(["--base", "b", "--instruct", "i", "--tasks", "t", flag, value])


@pytest.mark.slow
def test_the_program_prints_a_table_or_one_line(tiny_model_folder, folder, run_cli):
    call = ["pipelines/benchmark.py", "--base", tiny_model_folder, "--instruct", tiny_model_folder]
    tasks = ["--tasks", "choosing,writing", "--include_path", folder]
    done = run_cli(*call, *tasks)
    assert "instruct minus base, choosing acc: " in done.stdout
    (folder / "test.jsonl").unlink()
    assert "test.jsonl" in one_line_error(run_cli(*call, *tasks, expect=2))
