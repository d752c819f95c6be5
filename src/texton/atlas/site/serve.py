"""The pages of an atlas on a web server, live while a build is at work."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from texton.atlas.site.follow import Follower
from texton.errors import optional
from texton.web.server import HEADERS, App, guarded

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".webp": "image/webp",
    ".png": "image/png",
}
_PAUSE = 0.5  # seconds between two looks for news
_PATIENCE = 60.0  # seconds that a look and a batch of pictures may take yet, at the end
_BEAT = 15.0  # seconds of silence after which a connection says that it lives


def make_app(follower: Follower, host: str = "127.0.0.1", watch: bool = True) -> App:
    """The server's application; see `site_app` and `guarded`."""
    return guarded(site_app(follower, watch), host)


def site_app(follower: Follower, watch: bool = True) -> Starlette:
    """Every address of the site, and ``/events``; another server may have it beside its own."""
    with optional("atlas"):
        from starlette.applications import Starlette
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
        from starlette.routing import Route

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        stop = threading.Event()
        jobs = (follower.watch, follower.watch_index) if watch else ()
        threads = [threading.Thread(target=job, args=(stop,), daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            follower.leaving.set()
            end = time.monotonic() + _PATIENCE
            for thread in threads:  # one that computes as the interpreter ends would abort it
                await run_in_threadpool(thread.join, max(0.0, end - time.monotonic()))

    async def page(request: Request) -> Response:
        path = request.path_params["path"]
        if not path or path.endswith("/"):
            path += "index.html"
        content = await run_in_threadpool(lambda: follower.site.content(path))
        if content is None:
            return PlainTextResponse("There is nothing here.\n", 404, HEADERS)
        kind = _TYPES[PurePosixPath(path).suffix]
        if isinstance(content, (str, bytes)):
            return Response(content, media_type=kind, headers=HEADERS)
        return FileResponse(content, media_type=kind, headers=HEADERS)

    async def events(request: Request) -> Response:
        since = request.headers.get("last-event-id") or request.query_params.get("since", "")
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(
            _events(follower, since), media_type="text/event-stream", headers=headers
        )

    routes = [Route("/events", events), Route("/{path:path}", page)]
    return Starlette(routes=routes, lifespan=lifespan)


async def _events(follower: Follower, since: str) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    run, told, silent = follower.spell(0), None, 0.0
    position = follower.position(since)
    with follower.client():
        while position is not None and run == follower.spell(0) and not follower.leaving.is_set():
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
    if not follower.leaving.is_set():
        yield "event: changed\ndata: {}\n\n"
