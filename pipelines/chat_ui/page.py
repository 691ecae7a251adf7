"""The Gradio page: one prompt, both answers side by side, and next-token probabilities.

Text of models and users is shown in text fields or escaped in tables, never as Markdown or HTML. Nothing is loaded from
other hosts: fonts are the system's, Gradio's scripts come from this process.
"""

import os
import threading
from collections.abc import Iterator
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read while Gradio is imported

import gradio as gr

from pipelines.chat_ui.conversation import Exchange, Question, Scene, Side, put_to_both
from pipelines.chat_ui.model_pair import ModelPair
from pipelines.chat_ui.tables import NONE_YET, first_token_table, token_table
from pipelines.errors import UserError
from pipelines.inference.sampling import SamplingPolicy
from pipelines.modeling import PromptStyle

MAX_SAMPLES = 8
_STYLE_NAMES = {
    PromptStyle.PLAIN: "the prompt and an empty line",
    PromptStyle.RAW: "the prompt as it is, to be continued",
    PromptStyle.CHAT: "in the instruct model's chat template",
}
_CSS = """
.gradio-container { max-width: 1400px; margin: auto; }
.answer textarea, .tokens code { font-family: monospace; }
.tokens { max-height: 32rem; overflow: auto;
  /* As wide as the page and never the reason for its width: wide tables scroll in their box, not the page. */
  width: 0; min-width: 100%; }
.tokens table { width: 100%; border-collapse: collapse; }
.tokens caption { text-align: left; padding: 0.3rem 0; }
.tokens th, .tokens td { text-align: left; vertical-align: top; padding: 0.2rem 0.5rem;
  border: 1px solid var(--border-color-primary); }
.tokens th, .tokens .probability { white-space: nowrap; }
.tokens code { white-space: pre-wrap; overflow-wrap: anywhere; }
.tokens td:nth-child(2) { min-width: 6em; }
.tokens .probability { background: linear-gradient(90deg,
  color-mix(in srgb, var(--color-accent) 25%, transparent) var(--share), transparent var(--share)); }
"""


class Playground:
    """The page for two models; one question is answered at a time."""

    def __init__(self, pair: ModelPair, max_new_tokens: int) -> None:
        self.pair, self.max_new_tokens = pair, max_new_tokens
        self.stops: dict[str, threading.Event] = {}  # by browser tab
        with gr.Blocks(title="Playground", analytics_enabled=False, fill_width=True) as self.blocks:
            self._build()

    def serve(self, port: int | None) -> str:
        """Serve the page to this machine only and return its address; `port` None: the first free one from 7860."""
        font = [gr.themes.Font("Arial"), gr.themes.Font("sans-serif")]
        _, address, _ = self.blocks.queue(default_concurrency_limit=1).launch(
            server_name="127.0.0.1",  # this machine only
            server_port=port,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            mcp_server=False,
            theme=gr.themes.Base(font=font, font_mono=gr.themes.Font("monospace")),
            css=_CSS,
        )
        return address

    def _build(self) -> None:
        gr.Markdown("# Playground\nOne prompt, answered by the base and by the instruct model.")
        system = gr.Textbox(label="System text (optional)", lines=1, elem_id="system")
        earlier, latest = gr.State(()), gr.State(None)
        with gr.Accordion("Conversation so far", open=False), gr.Row():
            so_far = [
                gr.Textbox(label=name, interactive=False, elem_id=f"{name}-so-far", elem_classes="answer", max_lines=20)
                for name in ("base", "instruct")
            ]
        prompt = gr.Textbox(label="Prompt", lines=3, elem_id="prompt", placeholder="Prompt for both models")
        with gr.Accordion("Input (optional text that the prompt is about)", open=False):
            more = gr.Textbox(show_label=False, container=False, lines=3, elem_id="input")
        asked = [prompt, more, *self._controls(), system, earlier]
        with gr.Row():
            generate = gr.Button("Generate", variant="primary", elem_id="generate")
            stop = gr.Button("Stop", variant="stop", elem_id="stop")
            keep = gr.Button("Keep the answers and continue", elem_id="keep")
            begin = gr.Button("New conversation", elem_id="begin")
        status = gr.Textbox(label="Status", interactive=False, elem_id="status", value=self._memory())
        with gr.Row():
            boxes = [_answer_boxes(name) for name in ("base", "instruct")]
        tables = self._tables()
        shown = [status, *boxes[0], *boxes[1], *tables, latest]
        gr.on(
            [generate.click, prompt.submit],
            self.answer,
            inputs=asked,
            outputs=shown,
            show_progress="hidden",
            concurrency_limit=1,
            api_visibility="private",
        )
        kept = [earlier, latest, prompt, *so_far]
        keep.click(_kept, [earlier, latest], kept, show_progress="hidden", api_visibility="private")
        begin.click(lambda: [(), None, "", "", ""], None, kept, show_progress="hidden", api_visibility="private")
        stop.click(self.stop, queue=False, show_progress="hidden", api_visibility="private")
        self.blocks.unload(self.stop)

    def _controls(self) -> list[Any]:
        with gr.Row():
            temperature = gr.Slider(0, 2, value=0, step=0.05, label="Temperature (0: greedy)", elem_id="temperature")
            top_p = gr.Slider(0.05, 1, value=1, step=0.05, label="Top-p", elem_id="top-p")
            limit = max(4096, self.max_new_tokens)
            max_new = gr.Slider(1, limit, self.max_new_tokens, step=1, label="Max new tokens", elem_id="max-new-tokens")
            n_samples = gr.Slider(1, MAX_SAMPLES, value=1, step=1, label="Samples", elem_id="samples")
            seed = gr.Number(0, label="Seed", precision=0, elem_id="seed")
        styles = self.pair.base_styles
        style = gr.Radio(
            [(_STYLE_NAMES[one], one.value) for one in styles],
            value=styles[0].value,
            label="Prompt format of the base",
            elem_id="base-style",
        )
        return [temperature, top_p, max_new, n_samples, seed, style]

    def _tables(self) -> list[Any]:
        """Below the answers: the prompts as read, the first token, and all tokens of one sample."""
        tables_of_samples = gr.State([])
        with gr.Accordion("Prompt that each model received", open=False), gr.Row():
            read = [
                gr.Textbox(label=name, interactive=False, elem_id=f"{name}-read", elem_classes="answer", max_lines=20)
                for name in ("base", "instruct")
            ]
        gr.Markdown("### Next-token probabilities\nFrom the models' own distributions, before temperature and top-p.")
        sample = gr.Radio([1], value=1, label="Of sample", visible=False, elem_id="sample")
        first = gr.HTML(NONE_YET, elem_id="first-token", js_on_load=None)
        tokens = []
        with gr.Row():
            for name in ("base", "instruct"):
                with gr.Column(min_width=300):
                    tokens.append(gr.HTML(elem_id=f"{name}-tokens", js_on_load=None))
        sample.change(
            lambda tables, number: tables[number - 1] if 0 < number <= len(tables) else [gr.skip()] * 3,
            [tables_of_samples, sample],
            [first, *tokens],
            show_progress="hidden",
            api_visibility="private",
        )
        return [*read, first, *tokens, sample, tables_of_samples]

    def answer(
        self,
        prompt: str,
        more: str,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        n_samples: int,
        seed: int | None,
        style: str,
        system: str,
        earlier: tuple[Exchange, ...],
        request: gr.Request,
    ) -> Iterator[list[Any]]:
        """Yield everything below the buttons while the answers grow."""
        stop = self.stops[str(request.session_hash)] = threading.Event()
        nothing = [gr.skip()] * (2 * MAX_SAMPLES + 8)
        try:
            policy = SamplingPolicy(temperature, top_p, int(n_samples), int(seed or 0), int(max_new_tokens))
            question = Question(prompt, more, PromptStyle(style), policy, system, tuple(earlier))
            for scene in put_to_both(self.pair, question, stop.is_set):
                answers = [*_answers(scene.base, scene), *_answers(scene.instruct, scene)]
                yield [_status(scene), *answers, *_details(scene), _exchange(question, scene)]
        except UserError as error:
            yield [str(error), *nothing]
        finally:
            self.stops.pop(str(request.session_hash), None)

    def stop(self, request: gr.Request) -> None:
        """Stop the answer of this browser tab."""
        waiting = self.stops.get(str(request.session_hash))
        if waiting:
            waiting.set()

    def _memory(self) -> str:
        models = "one set of weights, an adapter on it" if self.pair.shares_weights else "two sets of weights"
        return f"ready: {models}, {self.pair.n_bytes / 1e6:,.1f} MB in memory"


def _exchange(question: Question, scene: Scene) -> Exchange:
    """The turn with the first sample of each model."""
    base, instruct = (side.progress.answers[0].text for side in (scene.base, scene.instruct))
    return Exchange(question.request, base, instruct)


def _kept(earlier: tuple[Exchange, ...], latest: Exchange | None) -> list[Any]:
    """The conversation with the latest turn, and its text for each model."""
    turns = (*earlier, latest) if latest else tuple(earlier)
    base = "\n\n".join(f"You: {one.request}\n\n{one.base}" for one in turns)
    instruct = "\n\n".join(f"You: {one.request}\n\n{one.instruct}" for one in turns)
    return [turns, None, "" if latest else gr.skip(), base, instruct]


def _answer_boxes(name: str) -> list[gr.Textbox]:
    with gr.Column(min_width=300):
        return [
            gr.Textbox(
                label=f"{name} {number}" if number > 1 else name,
                lines=4,
                max_lines=20,
                interactive=False,
                visible=number == 1,
                buttons=["copy"],
                elem_id=f"{name}-{number}",
                elem_classes="answer",
            )
            for number in range(1, MAX_SAMPLES + 1)
        ]


def _status(scene: Scene) -> str:
    speeds = ", ".join(
        f"{name} {side.progress.tokens_per_second:,.0f} tokens/s"
        for name, side in (("base", scene.base), ("instruct", scene.instruct))
    )
    state = "stopped by you" if scene.was_stopped else "done" if scene.is_last else "answering"
    return f"{state}: {speeds}"


def _answers(side: Side, scene: Scene) -> list[Any]:
    name = "base" if side is scene.base else "instruct"
    n_samples = len(side.progress.answers)
    boxes = []
    for place, answer in enumerate(side.progress.answers):
        number = f" {place + 1}" if n_samples > 1 else ""
        label = f"{name}{number}: {answer.n_tokens} tokens, {_how_it_ended(side, place, scene.was_stopped)}"
        boxes.append(gr.update(value=answer.text, label=label, visible=True))
    return boxes + [gr.update(value="", visible=False)] * (MAX_SAMPLES - n_samples)


def _how_it_ended(side: Side, place: int, was_stopped: bool) -> str:
    if side.progress.answers[place].stopped:
        return "stopped on its own"
    if side.progress.is_finished(place):
        return "cut off at the token limit"
    return "stopped by you" if was_stopped else "…"


def _details(scene: Scene) -> list[Any]:
    """The tables once the models are done; until then those of the previous question stay."""
    read = [scene.base.read, scene.instruct.read]
    if scene.base.choices is None or scene.instruct.choices is None:
        return [*read, *[gr.skip()] * 5]
    pairs = zip(scene.base.choices, scene.instruct.choices, strict=True)
    tables = [
        [first_token_table(*pair), token_table("base", pair[0]), token_table("instruct", pair[1])] for pair in pairs
    ]
    n_samples = len(tables)
    sample = gr.update(choices=list(range(1, n_samples + 1)), value=1, visible=n_samples > 1)
    return [*read, *tables[0], sample, tables]
