"""Who may ask the live page's server: this machine's own page, or whoever was given the key."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from texton.errors import TextonError, optional
from texton.web.server import HEADERS, App, Scope, is_loopback, name_asked

with optional("atlas"):
    from starlette.requests import cookie_parser

SESSION, KEY, TOKEN = "texton", "texton_key", b"x-texton-token"
_ID = re.compile(r"[A-Za-z0-9_-]{43}")
_BYTES = 32
_SAFE = ("GET", "HEAD")

Log = Callable[[str], None]


class Keys:
    """What proves a visitor: all of it follows from one secret, so that a page that was open
    when the server went down goes on when it is back."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def kept_in(cls, folder: Path) -> Keys:
        """The secret of a folder, made where there is none.

        Raises:
            TextonError: the folder takes no file.
        """
        path = folder / "secret"
        try:
            kept = path.read_bytes() if path.exists() else b""
            if len(kept) != _BYTES:
                kept = secrets.token_bytes(_BYTES)
                folder.mkdir(parents=True, exist_ok=True)
                file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(file, "wb") as own:
                    own.write(kept)
        except OSError as error:
            raise TextonError(f"cannot keep a history in '{folder}': {error.strerror}") from None
        return cls(kept)

    @property
    def key(self) -> str:
        """What the address carries where other machines are let in."""
        return self._of("key")

    def token(self, session: str) -> str:
        """What the page of a session sends with everything that is not only looked at."""
        return self._of(f"token {session}")

    def _of(self, what: str) -> str:
        return hmac.new(self._secret, what.encode(), hashlib.sha256).hexdigest()[:43]


@dataclass(frozen=True)
class Visitor:
    """Whose request it is.

    Attributes:
        session: the browser's, or one for a browser that has none yet.
        known: whether the browser brought it.
        keyed: whether the address carried the key, which the browser then keeps.
    """

    session: str
    known: bool
    keyed: bool


class Guard:
    """Before the application: refuses in one line of JSON, and logs that in one line.

    Args:
        host: the name that is listened on. Where others can reach it, all need the key; where
            they cannot, names of other machines are refused (a stranger's name may point here).
    """

    def __init__(self, app: App, keys: Keys, host: str, log: Log) -> None:
        self._app, self._keys, self._log = app, keys, log
        self._open = not is_loopback(host)

    async def __call__(
        self,
        scope: Scope,
        receive: Callable[..., Awaitable[Any]],
        send: Callable[..., Awaitable[Any]],
    ) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            self._log("refused: a web socket")
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {k: v.decode("latin-1") for k, v in scope.get("headers", ())}
        visitor = self._visitor(scope, headers)
        refused = self._refused(scope, headers, visitor)
        if refused is None:
            scope["visitor"] = visitor
            await self._app(scope, receive, send)
            return
        status, why = refused
        said = ascii(f"{scope['method']} {scope['path']}"[:120]).strip("'\"")
        self._log(f"refused {status}: {said}: {why}")
        body = json.dumps({"error": why}).encode()
        told = {**HEADERS, "Content-Type": "application/json", "Connection": "close"}
        raw = [(k.lower().encode(), v.encode()) for k, v in told.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    def _visitor(self, scope: Scope, headers: Mapping[bytes, str]) -> Visitor:
        kept = cookie_parser(headers.get(b"cookie", ""))
        session = kept.get(SESSION, "")
        known = _ID.fullmatch(session) is not None
        said = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("key", [""])[0]
        keyed = self._open and _same(said, self._keys.key)
        return Visitor(session if known else secrets.token_urlsafe(_BYTES), known, keyed)

    def _refused(
        self, scope: Scope, headers: Mapping[bytes, str], visitor: Visitor
    ) -> tuple[int, str] | None:
        host = headers.get(b"host", "")
        if self._open:
            kept = cookie_parser(headers.get(b"cookie", "")).get(KEY, "")
            if not (visitor.keyed or _same(kept, self._keys.key)):
                return 403, "open the address that texton app printed, with its key"
        elif not is_loopback(name_asked(host)):
            return 400, "this is another machine: open the address that texton app printed"
        origin = headers.get(b"origin")
        if origin is not None and not _is_of(origin, host):
            return 403, "another site asks: only the page itself may"
        if not (scope["path"].startswith("/api/") or scope["method"] not in _SAFE):
            return None
        if not visitor.known:
            return 403, "open the page first: it keeps a cookie"
        token = headers.get(TOKEN, "")
        if scope["method"] not in _SAFE and not _same(token, self._keys.token(visitor.session)):
            return 403, "the page's token is missing or old: reload the page"
        return None


def _is_of(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower() != ""


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("latin-1", "replace"), wanted.encode())
