"""Tasks on a served model give the harness's figures of the same model in process."""

from pathlib import Path

import pytest

from pipelines.endpoint.client import Endpoint
from pipelines.errors import UserError
from pipelines.evaluation.lm_eval.benchmark_run import BenchmarkPlan, run_tasks
from pipelines.evaluation.lm_eval.benchmarking import benchmark, quiet_harness
from pipelines.evaluation.lm_eval.served_harness_model import likelihood_tasks, refuse_unservable
from pipelines.evaluation.lm_eval.tasks import TaskChoice
from pipelines.hub.model_ref import ModelRef
from pipelines.inference.generation import SamplingPolicy, generate_answers
from pipelines.inference.served_model import ServedModel
from pipelines.modeling import LoadedModel, PromptStyle, render_prompt
from tests.evaluation.chain_models import lively_model
from tests.evaluation.lm_eval.local_tasks import CHOOSING, READING, WRITING, items, local_tasks, write_task
from tests.loopback_engine import loopback_engine


@pytest.fixture(scope="module")
def loaded(tiny_model_folder: Path) -> LoadedModel:
    return lively_model(tiny_model_folder, [0, 3])


@pytest.mark.parametrize("with_template", [False, True])
@pytest.mark.parametrize(
    ("task", "path"), [(WRITING, "text"), (CHOOSING, "ids"), (READING, "ids")], ids=["writing", "choosing", "reading"]
)
def test_a_served_model_has_the_figures_of_the_same_model_in_process(
    loaded, tiny_model_folder, tmp_path, task, path, with_template
):
    style = PromptStyle.CHAT if with_template else PromptStyle.RAW
    prompts = [f"Question: {one['question']}\nAnswer:" for one in items(3)]
    rendered = [render_prompt(loaded.tokenizer, one, style) for one in prompts]
    written = [only.text for [only] in generate_answers(loaded, rendered, SamplingPolicy(max_new_tokens=8))]
    tasks = local_tasks(tmp_path, task, written, num_fewshot=0)
    plan = BenchmarkPlan()
    with loopback_engine(loaded, echoes=True) as engine, quiet_harness():
        served = ServedModel("instruct", ModelRef(str(tiny_model_folder)), Endpoint(engine.url))
        refuse_unservable("instruct", served.endpoint, likelihood_tasks(tasks))
        engine.bodies.clear()
        [there] = run_tasks(served, tasks, plan, with_template=with_template)
        [here] = run_tasks(loaded, tasks, plan, with_template=with_template)
    assert (there.n, there.value) == (here.n, pytest.approx(here.value))
    assert list(zip(*there.items, strict=True)) == [pytest.approx(column) for column in zip(*here.items, strict=True)]
    assert here.value > 0
    is_chat = path == "text" and with_template
    assert {sent for sent, _ in engine.bodies} == {f"/v1/{'chat/' if is_chat else ''}completions"}
    assert all(
        isinstance(body["prompt"][0], list if path == "ids" else str) for _, body in engine.bodies if not is_chat
    )


@pytest.mark.parametrize("named", ["local", "a_tag", "a_group", "local.yaml"])
def test_a_server_that_tells_no_likelihoods_is_refused_before_the_task_data_is_read(
    loaded, tiny_model_folder, tmp_path, named
):
    task = write_task(tmp_path, "local", CHOOSING + "\ntag: a_tag")  # its rows are not there
    (tmp_path / "group.yaml").write_text("group: a_group\ntask: [local]\n")
    model = str(tiny_model_folder)
    with loopback_engine(loaded) as engine:
        plan = BenchmarkPlan(engines={"base": Endpoint(engine.url)})
        choice = TaskChoice([str(task) if named == task.name else named], tmp_path)
        with pytest.raises(
            UserError, match=r"local needs log-probabilities .* server of base \(unknown\).*generate_until"
        ):
            benchmark(model, [model], choice, plan)
    assert len(engine.bodies) == 1


def test_a_server_is_not_asked_for_likelihoods_that_no_task_needs(loaded, tmp_path):
    with loopback_engine(loaded) as engine:
        refuse_unservable("base", Endpoint(engine.url), likelihood_tasks(local_tasks(tmp_path, WRITING)))
    assert not engine.bodies


def test_a_server_that_fails_while_tasks_run_is_one_line(loaded, tiny_model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("asyncio.sleep", _at_once)  # the harness waits between its tries
    with loopback_engine(loaded, n_left=1) as engine, quiet_harness():
        served = ServedModel("instruct", ModelRef(str(tiny_model_folder)), Endpoint(engine.url))
        with pytest.raises(UserError, match="the server of instruct failed: ClientResponseError: 400"):
            run_tasks(served, local_tasks(tmp_path, WRITING), BenchmarkPlan(limit=3), with_template=True)


async def _at_once(_: float) -> None:
    pass
