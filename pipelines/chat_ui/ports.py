"""The port of a page, looked at before models are loaded for minutes."""

import socket

from pipelines.errors import UserError

HOST = "127.0.0.1"  # this machine alone


def refuse_taken(port: int | None) -> None:
    """Raise `UserError` for a port that cannot be listened on; None, which is any free one, always can."""
    if port is None:
        return
    try:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just closed is free
            trial.bind((HOST, port))
    except (OSError, OverflowError) as error:
        raise UserError(
            expected="a port that is free and below 65536",
            got=f"--port {port} ({getattr(error, 'strerror', None) or 'no such port'})",
            remedy="give another one, or none",
        ) from error
