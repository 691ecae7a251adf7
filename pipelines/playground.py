r"""Chat with a base and an instruct model side by side, on a page in your browser.

    python pipelines/playground.py --base recipes/quickstart/base --instruct runs/my-instruct

Input: a base and an instruct model, or an adapter of that base (folders, or Hub ids as org/name or org/name@revision).
Output: the address of a page that only this machine can open. Ctrl-C ends it. Needs Gradio: pip install -e
".[playground]".

Both models get the same prompt, and their answers stream side by side until the end token, the token limit or the stop
button. Temperature, top-p, seed and number of samples mean the same as in generate.py, and give the same answers. The
base gets the plain prompt, or the prompt in the instruct model's chat template. A system text is optional. A
conversation continues from the answers that are kept; each model reads its own. Each token is listed below the answers
with its probability and the five most likely alternatives.

An adapter shares the base's weights in memory; any other pair is loaded as two models. Nothing is sent to other hosts:
no analytics, no external fonts, scripts or links.
"""

import argparse
import socket
from collections.abc import Sequence

from pipelines.command_line import ArgumentParser, run_program
from pipelines.errors import UserError


def parser() -> argparse.ArgumentParser:
    """The program's flags."""
    flags = ArgumentParser(__doc__)
    flags.add_argument("--base", required=True, metavar="M", help="base model: folder, org/name or org/name@revision")
    flags.add_argument("--instruct", required=True, metavar="M", help="instruct model, or adapter of the base")
    flags.add_argument("--port", type=int, help="port of the page (default: the first free one from 7860)")
    flags.add_argument("--max_new_tokens", type=int, default=256, help="initial token limit on the page (default 256)")
    return flags


def main(arguments: Sequence[str] | None = None) -> None:
    """Load both models and serve the page until Ctrl-C."""
    flags = parser().parse_args(arguments)
    from pipelines.hub.model_ref import resolve_compared

    _refuse_taken(flags.port)
    resolve_compared(flags.base, [flags.instruct])
    try:
        from pipelines.chat_ui.page import Playground
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise UserError("Gradio is not installed", 'run pip install -e ".[playground]"') from error
    from pipelines.chat_ui.model_pair import load_pair

    if flags.max_new_tokens < 1:
        raise UserError(f"max_new_tokens is {flags.max_new_tokens}, expected 1 or more", "use --max_new_tokens 256")
    playground = Playground(load_pair(flags.base, flags.instruct), flags.max_new_tokens)
    print(f"open {playground.serve(flags.port)} in a browser; Ctrl-C ends it", flush=True)
    playground.blocks.block_thread()


def _refuse_taken(port: int | None) -> None:
    """Raise `UserError` if the page cannot listen on `port` (None: any free one)."""
    if port is None:
        return
    try:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just closed is free
            trial.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "expected a port below 65536"
        raise UserError(f"cannot use --port {port}: {reason}", "give another port, or none") from error


if __name__ == "__main__":
    run_program(main)
