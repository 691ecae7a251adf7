"""Check the port of the page before models are loaded."""

import socket

from pipelines.errors import UserError

HOST = "127.0.0.1"  # this machine alone


def refuse_taken(port: int | None) -> None:
    """Raise `UserError` if the page cannot listen on `port` (None: any free one)."""
    if port is None:
        return
    try:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just closed is free
            trial.bind((HOST, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "expected a port below 65536"
        raise UserError(f"cannot use --port {port}: {reason}", "give another port, or none") from error
