import json
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.evaluation.lm_eval.benchmark_run import BenchmarkPlan
from pipelines.evaluation.lm_eval.benchmarking import benchmark
from pipelines.evaluation.lm_eval.tasks import TaskChoice
from tests.evaluation.lm_eval.local_tasks import CHOOSING, WRITING, write_rows, write_task


def test_base_and_instruct_models_stand_side_by_side_over_local_tasks(tiny_model_folder: Path, tmp_path: Path) -> None:
    write_rows(tmp_path)
    write_task(tmp_path, "choosing", CHOOSING)
    write_task(tmp_path, "writing", WRITING)
    choice = TaskChoice(["choosing", "writing"], tmp_path, num_fewshot=1)
    model = str(tiny_model_folder)
    record = json.loads(json.dumps(benchmark(model, [model, model], choice, BenchmarkPlan(limit=6)), allow_nan=False))
    assert record["kind"] == "benchmark"
    assert record["fewshot_as_multiturn"] is True
    templates = {name: found["template"] for name, found in record["models"].items()}
    assert templates == {"base": False, "tiny": True, "tiny_2": True}
    assert {found["fingerprint"] for found in record["models"].values()} != {None}
    assert [(one["task"], one["metric"], one["n_shot"], one["n"]) for one in record["results"]] == [
        ("choosing", "acc", 1, 6),
        ("writing", "exact_match", 1, 6),
    ]
    for result in record["results"]:
        assert result["models"].keys() == {"base", "tiny", "tiny_2"}
        assert result["difference"]["tiny"] == result["difference"]["tiny_2"]
        assert result["models"]["tiny"] == result["models"]["tiny_2"]


def test_an_instruct_model_without_a_chat_template_is_refused_before_anything_runs(
    shared_data: Path, tiny_model_folder: Path
) -> None:
    bare = str(shared_data / "models" / "hf-stories260K")
    with pytest.raises(UserError, match="chat template"):
        benchmark(str(tiny_model_folder), [bare], TaskChoice(["no such task"]), BenchmarkPlan())
