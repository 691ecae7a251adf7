"""playground.py as a user runs it: a process of its own, its page in a real browser."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipelines import generate, playground
from pipelines.errors import UserError
from pipelines.modeling import load_tokenizer
from pipelines.modeling.loading import load_base_model
from tests.conftest import PROJECT, one_line_error
from tests.evaluation.chain_models import save_successors

BASE = PROJECT / "recipes" / "quickstart" / "base"
HOSTILE = [
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=2>",
    "${window.hacked=3}",
    "{{#each a}}",
]


@pytest.fixture(scope="module")
def models(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A random base with room for long answers, and an instruct model whose answer is made of hostile tokens."""
    folder = tmp_path_factory.mktemp("playground")
    tokenizer = load_tokenizer(str(tiny_model_folder))
    base = load_base_model(str(tiny_model_folder))
    base.config.max_position_embeddings = 4096
    base.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    tokenizer.add_tokens(HOSTILE)
    said = tokenizer.convert_tokens_to_ids(["Ċ", *HOSTILE, "<|im_end|>"])
    save_successors(tokenizer, folder / "instruct", dict(pairwise(said)))
    return folder / "base", folder / "instruct"


@pytest.fixture(scope="module")
def address(models: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a running program."""
    pytest.importorskip("gradio")
    port, output = free_port(), tmp_path_factory.mktemp("playground") / "output.txt"
    command = [sys.executable, PROJECT / "pipelines/playground.py", "--base", models[0], "--instruct", models[1]]
    with output.open("w") as file:
        program = subprocess.Popen([*command, "--port", str(port)], stdout=file, stderr=subprocess.STDOUT)
    try:
        give_up = time.monotonic() + 120
        while "in a browser" not in output.read_text():
            assert program.poll() is None, output.read_text()
            assert time.monotonic() < give_up, output.read_text()
            time.sleep(0.1)
        assert f"open http://127.0.0.1:{port}/ in a browser" in output.read_text()
        yield f"http://127.0.0.1:{port}/"
        assert "Traceback" not in output.read_text(), output.read_text()
    finally:
        program.terminate()
        program.wait(120)


class Visit:
    """The page in a browser, what it asked of the network, and what it wrote to the console."""

    def __init__(self, browser: Any, address: str) -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda line: line.type in ("error", "warning") and self.complaints.append(line.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)
        for box in ("#prompt", "#base-1"):
            self.page.wait_for_selector(f"{box} textarea")

    def ask(self, prompt: str, ends: str = "done", **controls: float) -> None:
        """Set `controls`, press Generate, and wait for a status that begins with `ends`."""
        defaults = {"temperature": 0, "top-p": 1, "max-new-tokens": 40, "samples": 1, "seed": 0}
        for name, value in (defaults | {name.replace("_", "-"): value for name, value in controls.items()}).items():
            field = self.page.locator(f"#{name} input[type=number]")
            field.fill(str(value))
            field.press("Tab")
        self.page.fill("#prompt textarea", prompt)
        self.page.evaluate("document.querySelector('#status textarea').value = ''")
        self.page.click("#generate")
        self.wait_for(ends)

    def wait_for(self, status: str) -> None:
        script = "start => document.querySelector('#status textarea').value.startsWith(start)"
        self.page.wait_for_function(script, arg=status, timeout=30_000)

    def text(self, name: str) -> str:
        return str(self.page.input_value(f"#{name} textarea"))

    def label(self, name: str) -> str:
        return str(self.page.inner_text(f"#{name} [data-testid=block-info]"))

    def cells(self, name: str, column: int) -> list[str]:
        return list(self.page.locator(f"#{name} tbody tr td:nth-child({column})").all_text_contents())


@pytest.fixture(scope="module")
def visit(address: str) -> Iterator[Visit]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium or google-chrome on the path")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        yield Visit(chromium, address)
        chromium.close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answers_of_generate(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, *flags: str
) -> list[dict[str, Any]]:
    output = tmp_path / "answers.jsonl"
    generate.main(["--model_name_or_path", str(folder), "--output", str(output), "--show_probabilities", *flags])
    capsys.readouterr()
    return list(json.loads(output.read_text())["answers"])


def test_both_answers_grow_side_by_side_into_those_of_generate(visit, models, tmp_path, capsys):
    visit.page.evaluate(
        """() => { window.seen = []; window.watch = setInterval(() => {
            const length = document.querySelector('#base-1 textarea').value.length;
            if (window.seen.at(-1) !== length) window.seen.push(length); }, 5) }"""
    )
    visit.page.get_by_label("the prompt as it is, to be continued").check()
    visit.ask("def find max", max_new_tokens=300)
    seen = visit.page.evaluate("() => { clearInterval(window.watch); return window.seen }")
    assert len(seen) >= 3  # empty, a part, whole; a busy machine draws few parts
    assert seen == sorted(seen)
    flags = ["--prompt", "def find max", "--plain", "--max_new_tokens", "300"]
    [answer] = answers_of_generate(capsys, models[0], tmp_path, *flags)
    assert visit.text("base-1") == answer["text"]
    assert visit.text("instruct-1") == "".join(HOSTILE)
    assert visit.label("base-1") == "base: 300 tokens, cut off at the token limit"
    assert visit.label("instruct-1") == "instruct: 4 tokens, stopped on its own"
    assert visit.cells("base-tokens", 2) == [repr(one["token"]) for one in answer["tokens"]]
    shown = [float(cell) for cell in visit.cells("base-tokens", 3)]
    assert shown == pytest.approx([one["probability"] for one in answer["tokens"]], abs=1e-4)
    assert all(cell.count(" · ") >= 4 for cell in visit.cells("base-tokens", 4))
    assert len(visit.cells("first-token", 1)) == 6


def test_several_samples_are_those_of_generate_and_each_has_its_probabilities(visit, models, tmp_path, capsys):
    visit.page.get_by_label("the prompt as it is, to be continued").check()
    visit.ask("find", temperature=1.5, top_p=0.9, samples=3, seed=5)
    flags = ["--plain", "--temperature", "1.5", "--top_p", "0.9", "--num_samples", "3", "--seed", "5"]
    answers = answers_of_generate(capsys, models[0], tmp_path, "--prompt", "find", "--max_new_tokens", "40", *flags)
    assert [visit.text(f"base-{number}") for number in (1, 2, 3)] == [one["text"] for one in answers]
    assert not visit.page.locator("#base-4").is_visible()
    visit.page.locator("#sample").get_by_label("3").check()
    tokens = [repr(one["token"]) for one in answers[2]["tokens"]]
    visit.page.wait_for_function(
        "first => document.querySelector('#base-tokens tbody td:nth-child(2)').textContent === first", arg=tokens[0]
    )
    assert visit.cells("base-tokens", 2) == tokens


def test_hostile_prompts_and_answers_are_shown_as_text(visit):
    visit.ask("".join(HOSTILE))
    assert visit.text("instruct-1") == "".join(HOSTILE)
    assert visit.cells("instruct-tokens", 2) == [repr(token) for token in [*HOSTILE, "<|im_end|>"]]
    visit.page.get_by_role("button", name="Prompt that each model received").click()
    visit.page.wait_for_selector("#instruct-read textarea")
    assert visit.text("instruct-read").startswith(f"<|im_start|>user\n{HOSTILE[0]}")
    assert visit.page.locator("img[src=x]").count() == 0
    assert visit.page.evaluate("window.hacked") is None


def test_a_conversation_continues_from_the_answers_that_were_kept(visit):
    visit.page.get_by_label("the prompt and an empty line").check()
    visit.page.fill("#system textarea", "Be brief.")
    visit.ask("find max", max_new_tokens=4)
    visit.page.click("#keep")
    visit.page.wait_for_function("() => document.querySelector('#prompt textarea').value === ''")
    visit.ask("again", max_new_tokens=4)
    read = visit.text("instruct-read")
    assert read.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nfind max<|im_end|>\n")
    assert read.endswith("<|im_start|>user\nagain<|im_end|>\n<|im_start|>assistant\n")
    assert "".join(HOSTILE)[:20] in read
    assert "Be brief.\n\nUser:\n\nfind max\n\nAssistant:\n\n" in visit.text("base-read")
    visit.page.click("#begin")
    visit.page.fill("#system textarea", "")
    visit.ask("find max", max_new_tokens=4)
    assert visit.text("instruct-read") == "<|im_start|>user\nfind max<|im_end|>\n<|im_start|>assistant\n"


def test_the_stop_button_ends_both_answers(visit):
    visit.ask("Hello", ends="answering", max_new_tokens=4000)
    visit.page.click("#stop")
    visit.wait_for("stopped by you")
    assert visit.label("base-1").endswith("stopped by you")
    assert visit.label("instruct-1").endswith("stopped on its own")
    n_said = int(visit.label("base-1").split()[1])
    assert 0 < n_said < 4000
    assert len(visit.cells("base-tokens", 1)) == n_said


def test_a_mistake_is_told_in_the_status_line(visit):
    visit.ask(" ", ends="the prompt is empty")
    visit.ask("Hello", ends="temperature is 0 for 2 samples", samples=2)


def test_a_phone_needs_no_sideways_scrolling(visit):
    visit.ask("find max")
    visit.page.set_viewport_size({"width": 390, "height": 844})
    width = "() => document.documentElement.scrollWidth"
    visit.page.wait_for_function(f"({width})() <= innerWidth")
    places = [visit.page.locator(f"#{name}-1").bounding_box() for name in ("base", "instruct")]
    assert places[0]["y"] < places[1]["y"], "answers stand one above the other"
    visit.page.set_viewport_size({"width": 1280, "height": 900})


def test_nothing_was_asked_of_another_host_and_the_console_is_quiet(visit, address):
    assert len(visit.requests) > 10
    assert [url for url in visit.requests if not url.startswith((address, "data:", "blob:"))] == []
    assert visit.complaints == []


def test_the_page_is_for_this_machine_alone(address):
    port = int(address.rstrip("/").rpartition(":")[2])
    listed = Path("/proc/net/tcp")
    if not listed.is_file():
        pytest.skip("no /proc/net/tcp to read the listening addresses from")
    listening = [line.split()[1] for line in listed.read_text().splitlines()[1:] if line.split()[3] == "0A"]
    assert [one for one in listening if one.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_a_port_that_cannot_be_had_is_told_before_anything_is_loaded():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(UserError, match=f"cannot use --port {port}: .*in use"):
            playground.main(["--base", "x", "--instruct", "y", "--port", port])
    with pytest.raises(UserError, match="cannot use --port 70000: "):
        playground.main(["--base", "x", "--instruct", "y", "--port", "70000"])


def test_without_gradio_one_line_names_the_extra(tmp_path):
    (tmp_path / "gradio.py").write_text("raise ModuleNotFoundError(\"No module named 'gradio'\", name='gradio')")
    done = subprocess.run(
        [sys.executable, PROJECT / "pipelines/playground.py", "--base", BASE, "--instruct", BASE],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert 'pip install -e ".[playground]"' in one_line_error(done)
