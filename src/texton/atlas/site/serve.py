"""The pages of an atlas on a web server, live while a build is at work."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import PurePosixPath

from texton.atlas.site.follow import Follower
from texton.errors import TextonError, optional

with optional("atlas"):
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".webp": "image/webp",
    ".png": "image/png",
}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_PAUSE = 0.5  # seconds between two looks for news
_BEAT = 15.0  # seconds of silence after which a connection says that it lives


def make_app(follower: Follower, host: str = "127.0.0.1", watch: bool = True) -> Starlette:
    """The server's application: every address of the site, and ``/events``.

    On a loopback address it answers only to this machine's names, so that a page from elsewhere
    cannot read it by pointing its own name here.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        stop = threading.Event()
        jobs = (follower.watch, follower.watch_index) if watch else ()
        for job in jobs:
            threading.Thread(target=job, args=(stop,), daemon=True).start()
        yield
        stop.set()

    async def page(request: Request) -> Response:
        path = request.path_params["path"]
        if not path or path.endswith("/"):
            path += "index.html"
        content = await run_in_threadpool(lambda: follower.site.content(path))
        if content is None:
            return PlainTextResponse("There is nothing here.\n", 404, _HEADERS)
        kind = _TYPES[PurePosixPath(path).suffix]
        if isinstance(content, (str, bytes)):
            return Response(content, media_type=kind, headers=_HEADERS)
        return FileResponse(content, media_type=kind, headers=_HEADERS)

    async def events(request: Request) -> Response:
        since = request.headers.get("last-event-id") or request.query_params.get("since", "")
        headers = {**_HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(
            _events(follower, since), media_type="text/event-stream", headers=headers
        )

    hosts = ["localhost", "127.0.0.1", "[::1]", host] if _is_loopback(host) else ["*"]
    return Starlette(
        routes=[Route("/events", events), Route("/{path:path}", page)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)],
        lifespan=lifespan,
    )


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
    except OSError as error:
        raise TextonError(f"there is no address '{host}' here: {error.strerror}") from None
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


def serve(app: Starlette, bound: socket.socket) -> None:
    """Serve until Ctrl-C, which is raised again as in any other command."""
    with optional("atlas"):
        import uvicorn

    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[bound])


async def _events(follower: Follower, since: str) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    run, told, silent = follower.spell(0), None, 0.0
    position = follower.position(since)
    with follower.client():
        while position is not None and run == follower.spell(0):
            news = follower.news(position)
            if news.units or news.status != told:
                data = json.dumps({"units": news.units, "status": news.status})
                yield f"id: {follower.spell(news.position)}\nevent: news\ndata: {data}\n\n"
                position, told, silent = news.position, news.status, 0.0
            elif silent >= _BEAT:
                yield ": still here\n\n"
                silent = 0.0
            await asyncio.sleep(_PAUSE)
            silent += _PAUSE
    yield "event: changed\ndata: {}\n\n"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
