"""The live page's addresses: what each takes, how much of it, and what it answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from importlib import resources
from typing import Any
from urllib.parse import unquote

from texton.app.answers import (
    Refused,
    answering,
    as_json,
    body_of,
    json_of,
    refusal,
    visitor_of,
    whole,
)
from texton.app.guard import KEY, SESSION, Guard, Keys
from texton.app.history import BESIDE
from texton.app.house import BODY, House
from texton.app.kinds import run_of
from texton.app.maps import MapMaker, layers_json
from texton.app.opening import opened
from texton.app.photos import preview
from texton.app.sessions import GRACE, Sessions
from texton.app.work import Work
from texton.app.worker import Worker
from texton.errors import optional
from texton.reading import take_optional
from texton.web.server import HEADERS, App
from texton.web.shared import SHARED, shared

with optional("atlas"):
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import FileResponse, Response, StreamingResponse
    from starlette.routing import Mount, Route

REQUEST = 1 << 20  # bytes of a request for work
_PREVIEWS = (16, 2048)
_STATIC = re.compile(r"[a-z0-9][a-z0-9_.-]*\.(js|css|svg|webp|png|woff2|txt)")
_TYPES = {
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
_SLOT = re.compile(r"[\w.:-]{1,40}")
_WARM = 1.0  # seconds after the page, before torch is loaded: its scripts come first


def make_app(
    house: House, host: str = "127.0.0.1", atlas: Starlette | None = None, grace: float = GRACE
) -> App:
    """The server's application; it solves in a thread of its own as long as it is served.

    Args:
        host: the name that is listened on; see `Guard`.
        atlas: pages to have beside it, under ``/atlas/``.
        grace: seconds after which a session that nobody watches is stopped.
    """
    keys = Keys.kept_in(house.given.history)
    server = Server(house, keys, grace)
    mounts = [Mount("/atlas", app=atlas)] if atlas is not None else []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        beside = nullcontext() if atlas is None else atlas.router.lifespan_context(atlas)
        try:
            async with beside:
                try:
                    yield
                finally:  # all are told before any is waited for
                    house.leaving.set()
                    server.worker.leave()
        finally:
            await run_in_threadpool(server.worker.close)

    async def nothing(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return refusal(request, house, status, "there is nothing here")

    app = Starlette(
        routes=[*server.routes(), *mounts],
        lifespan=lifespan,
        exception_handlers={HTTPException: nothing},
    )
    return Guard(app, keys, host, house.log)


class Server:
    """What answers; see `routes`."""

    def __init__(self, house: House, keys: Keys, grace: float = GRACE) -> None:
        self.house, self.keys = house, keys
        self._maps = MapMaker(house)

        def keep(work: Work, result: Any) -> dict[str, Any]:
            about = work.run.about(result)
            return house.history.add(result, about, house.hidden.settings)

        told = house.hidden.text, house.log, house.warm, house.boards.clear
        self.worker = Worker(keep, *told)
        self.sessions = Sessions(self.worker, grace)
        self._page = resources.files("texton.app").joinpath("templates", "app.html")

    def routes(self) -> list[Route]:
        def route(path: str, answer: Any, method: str = "GET") -> Route:
            return Route(path, answering(answer, self.house), methods=[method])

        return [
            route("/", self.page),
            route("/static/{name}", self.static),
            route("/api/house", self.tell_house),
            route("/api/network", self.network),
            route("/api/photos", self.add_photo, "POST"),
            route("/api/photos/{id}", self.photo),
            route("/api/maps", self.maps),
            route("/api/work", self.work, "POST"),
            route("/api/work/{id}", self.cancel, "DELETE"),
            route("/api/events", self.events),
            route("/api/history", self.history),
            route("/api/pictures/{name}", self.picture),
            route("/api/pictures/{name}", self.forget, "DELETE"),
            route("/api/open", self.open, "POST"),
        ]

    async def page(self, request: Request) -> Response:
        visitor = visitor_of(request)
        token = self.keys.token(visitor.session)
        page = self._page.read_text("utf-8").replace("{{ token }}", token)
        asyncio.get_running_loop().call_later(_WARM, self.worker.wake)
        answer = Response(page, media_type="text/html; charset=utf-8", headers=HEADERS)
        kept: dict[str, Any] = {"httponly": True, "samesite": "strict", "max_age": 31_536_000}
        if not visitor.known:
            answer.set_cookie(SESSION, visitor.session, **kept)
        if visitor.keyed:
            answer.set_cookie(KEY, self.keys.key, **kept)
        return answer

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name in SHARED:
            return Response(
                shared(name), media_type=_TYPES[name.rpartition(".")[2]], headers=HEADERS
            )
        file = resources.files("texton.app") / "static" / name
        if not _STATIC.fullmatch(name) or not file.is_file():
            raise Refused(404, "there is nothing here")
        kind = _TYPES.get(name.rpartition(".")[2])
        return Response(file.read_bytes(), media_type=kind, headers=HEADERS)

    async def tell_house(self, request: Request) -> Response:
        return as_json(self.house.as_json())

    async def network(self, request: Request) -> Response:
        name = request.query_params.get("name") or self.house.default
        self.house.network_options(name)
        return as_json(await self._asked(lambda: layers_json(self.house, name)))

    async def add_photo(self, request: Request) -> Response:
        name = unquote(request.headers.get("x-name", "photograph"))
        content = await body_of(request, BODY)
        photo = await run_in_threadpool(self.house.photos.add, content, name)
        return as_json(photo.as_json())

    async def photo(self, request: Request) -> Response:
        photo = self.house.photos.get(request.path_params["id"])
        if photo is None:
            raise Refused(404, "there is no such photograph here")
        return await self._preview(request, photo.file)

    async def maps(self, request: Request) -> Response:
        asked = request.query_params
        photo, layer = self.house.photos[asked.get("photo", "")].id, asked.get("layer", "")
        network = asked.get("network") or self.house.default
        self.house.network_options(network)
        size = whole(asked.get("size"), 16, 2048)
        found = await self._asked(lambda: self._maps(photo, network, layer, size))
        headers = {**HEADERS, "X-Maps": found.header}
        return Response(found.bytes, media_type="application/octet-stream", headers=headers)

    async def work(self, request: Request) -> Response:
        body = json_of(await body_of(request, REQUEST))
        slot = take_optional(body, "slot", str) or "main"
        if not _SLOT.fullmatch(slot):
            raise Refused(422, "its slot is no plain word")
        asked = take_optional(body, "asked", float)
        run = run_of(body, self.house)  # at once: works are in the order that they came in
        number = visitor_of(request).session
        work = self.sessions.of(number).begin(run, slot, asked)
        self.sessions.watched(number)
        return as_json({"id": work.id})

    async def cancel(self, request: Request) -> Response:
        session = self.sessions.get(visitor_of(request).session)
        if session is None or not session.cancel(request.path_params["id"]):
            raise Refused(404, "there is no such work of yours")
        return as_json({})

    async def events(self, request: Request) -> Response:
        number = visitor_of(request).session
        self.sessions.of(number)  # refused before the stream begins
        self.sessions.watched(number)
        stream = self.sessions.events(number, self.house.leaving.is_set)
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def history(self, request: Request) -> Response:
        return as_json(await run_in_threadpool(self.house.history.listed))

    async def picture(self, request: Request) -> Response:
        number, dot, kind = request.path_params["name"].partition(".")
        file, ending = self.house.history.file(number), dot + kind
        if file is not None and ending == ".png":
            return FileResponse(file, media_type="image/png", headers=HEADERS)
        if ending in BESIDE and request.query_params.get("whole"):
            beside = self.house.history.file(number, ending)
            if beside is not None:
                return FileResponse(beside, media_type=BESIDE[ending], headers=HEADERS)
        if file is None or ending != ".webp":
            raise Refused(404, "there is no such picture here")
        return await self._preview(request, file)

    async def forget(self, request: Request) -> Response:
        number = request.path_params["name"].partition(".")[0]
        if not await run_in_threadpool(self.house.history.remove, number):
            raise Refused(404, "there is no such picture here")
        return as_json({})

    async def open(self, request: Request) -> Response:
        content = await body_of(request, BODY)
        return as_json(await run_in_threadpool(opened, content, self.house))

    async def _preview(self, request: Request, file: Any) -> Response:
        edge = whole(request.query_params.get("size"), *_PREVIEWS) or 512
        content = await run_in_threadpool(preview, file, edge)
        return Response(content, media_type="image/webp", headers=HEADERS)

    async def _asked(self, question: Callable[[], Any]) -> Any:
        return await asyncio.wrap_future(self.worker.ask(question))
