"""A server for this machine: its socket, what every answer carries, who may ask."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from texton.errors import TextonError, optional

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[..., Awaitable[Any]], Callable[..., Awaitable[Any]]], Any]


def guarded(app: App, host: str) -> App:
    """The application as it is served on a host.

    On a loopback address it answers only to this machine's names, so that a page from elsewhere
    cannot read it by pointing its own name here.
    """
    if not is_loopback(host):
        return app

    async def guard(
        scope: Scope,
        receive: Callable[..., Awaitable[Any]],
        send: Callable[..., Awaitable[Any]],
    ) -> None:
        asked = dict(scope.get("headers", ())).get(b"host", b"").decode("latin-1")
        if scope["type"] == "lifespan" or is_loopback(name_asked(asked)):
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b"This is another machine.\n"})

    return guard


def listen(host: str, port: int) -> socket.socket:
    """A socket to serve on.

    Raises:
        TextonError: the port is taken or not allowed, or this machine has no such address.
    """
    if not 0 <= port <= 65535:
        raise TextonError(f"--port is {port}: use 1024 to 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # a name that is none: it could not even be asked for
        reason = error.strerror if isinstance(error, OSError) else "no name is spelled so"
        raise TextonError(f"there is no address '{host}' here: {reason}") from None
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen(128)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise TextonError(f"port {port} is taken: use another --port") from None
        if error.errno == errno.EACCES:
            raise TextonError(f"port {port} is not allowed to you: use --port 8000") from None
        raise TextonError(f"cannot serve on '{host}': {error.strerror or error}") from None
    return bound


def serve(app: App, bound: socket.socket, leave: Callable[[], object] = lambda: None) -> None:
    """Serve until Ctrl-C, which is raised again as in any other command.

    Args:
        leave: is called at Ctrl-C; connections that would never end by themselves end then.
    """
    with optional("atlas"):
        import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            leave()
            super().handle_exit(sig, frame)

    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    Server(config).run(sockets=[bound])


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own, that no other machine reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def name_asked(asked: str) -> str:
    """``::1`` of ``[::1]:8000``; empty where it is nothing of the kind."""
    try:
        return urlsplit(f"//{asked}").hostname or ""
    except ValueError:
        return ""
