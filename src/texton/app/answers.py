"""What a request brings, and how it is answered or refused: a line of JSON, and one in the log."""

from __future__ import annotations

import sys
import traceback
from typing import Any

from texton.app.forms import Mistake
from texton.app.guard import Visitor
from texton.app.house import House
from texton.app.worker import Busy
from texton.errors import TextonError, one_line, optional
from texton.reading import read_json, to_json
from texton.web.server import HEADERS

with optional("atlas"):
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response


class Refused(Exception):  # noqa: N818 - an answer
    def __init__(self, status: int, message: str, option: str | None = None) -> None:
        super().__init__(message)
        self.status, self.option = status, option


def answering(answer: Any, house: House) -> Any:
    """An answer whose mistakes are a line of JSON, and one in the log."""

    async def endpoint(request: Request) -> Response:
        try:
            return await answer(request)  # type: ignore[no-any-return]
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        except Refused as error:
            status, option, said = error.status, error.option, str(error)
        except Mistake as error:
            status, option, said = 422, error.option, str(error)
        except Busy as error:
            status, option, said = 429, None, str(error)
        except (TextonError, ValueError) as error:
            status, option, said = 422, None, str(error)
        except OSError as error:
            status, option, said = 404, None, f"cannot read it: {error.strerror or error}"
        except Exception as error:  # noqa: BLE001 - a fault of ours: told, and the page goes on
            traceback.print_exception(error, file=sys.stderr)
            status, option, said = 500, None, f"texton failed: {one_line(error)}"
        return refusal(request, house, status, said, option)

    return endpoint


def refusal(
    request: Request, house: House, status: int, said: str, option: str | None = None
) -> Response:
    said = " ".join(house.hidden.text(said).split())[:500]
    path = ascii(f"{request.method} {request.url.path}"[:120]).strip("'\"")
    house.log(f"refused {status}: {path}: {said if said.isprintable() else ascii(said)}")
    close = {"Connection": "close"} if status == 413 else {}
    return as_json({"error": said, "option": option}, status, close)


async def body_of(request: Request, most: int) -> bytes:
    """A request's body, read no further than it may be long."""
    said = request.headers.get("content-length", "")
    too_long = Refused(413, f"it is over {most >> 20} MiB: send something smaller")
    if said.isdecimal() and (len(said) > 15 or int(said) > most):
        raise too_long
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > most:
            raise too_long
        parts.append(part)
    return b"".join(parts)


def json_of(content: bytes) -> dict[str, Any]:
    try:
        return read_json(content)
    except ValueError as error:
        raise Refused(422, f"the request is no JSON object: {error}") from None


def whole(text: str | None, low: int, high: int) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and low <= int(text) <= high):
        raise Refused(422, f"size is no number from {low} to {high}")
    return int(text)


def visitor_of(request: Request) -> Visitor:
    found: Visitor = request.scope["visitor"]
    return found


def as_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    told = {**HEADERS, **(headers or {})}
    return Response(to_json(value), status, told, media_type="application/json")
