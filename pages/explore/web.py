"""The pages and answers over HTTP: a WSGI application that opens no file whose name comes from outside."""

import io
import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, NotFound, UnsupportedMediaType
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from avcorr.model.errors import ModelError
from avcorr.pipeline.errors import PipelineError
from avcorr.retrieval.errors import RetrievalError
from avcorr.shards.errors import ShardError

from ..soundplot import spectrogram
from ..templates import HERE, environment
from .errors import BusyError, ExploreError, UnknownError
from .explorer import MOST_CLIPS, Explorer

KINDS = {".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
"""The page loads nothing from elsewhere, and no other site's page can look at what is served here."""
LOCAL = ("127.0.0.1", "localhost", "::1")
SPECTRUM = 960, 160
NAME_LENGTH = 200
_PATHS = {
    "page": "/", "part": "/<name>", "about": "/api/about", "some": "/api/some", "keys": "/api/keys",
    "search": "/api/search", "pair": "/api/pair", "curve": "/api/curve", "clip": "/api/clip/<key>",
    "frame": "/clip/<key>/frame.jpg", "sound": "/clip/<key>/sound.wav", "spectrum": "/clip/<key>/spectrum.png",
}  # fmt: skip
_URLS = Map([
    *(Rule(path, endpoint=name, methods=["GET"]) for name, path in _PATHS.items()),
    Rule("/api/upload", endpoint="upload", methods=["POST"]),
])  # fmt: skip
logger = logging.getLogger(__name__)


class Application:
    """Answers requests; threads may share it.

    hosts: names under which the server may be addressed, so that no other name can be pointed at it; empty: any.
    """

    def __init__(self, explorer: Explorer, hosts: Iterable[str] = LOCAL) -> None:
        self._explorer, self._hosts = explorer, tuple(hosts)
        self._html = environment("explore").get_template("explore.html.jinja").render(about=explorer.about)
        files = (HERE / "base.css", HERE / "explore" / "explore.css", *(HERE / "explore" / "parts").glob("*.js"))
        self._parts = {path.name: path.read_bytes() for path in files}

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(dict(environ))
        response = self._answer(request)
        response.headers.update(HEADERS)
        return response(request.environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            self._admit(request)
            endpoint, values = _URLS.bind_to_environ(request.environ).match()
            response: Response = getattr(self, f"_{endpoint}")(request, **values)
            return response
        except HTTPException as error:
            return _error(error.code or 500, error.description or error.name)
        except UnknownError as error:
            return _error(404, str(error))
        except BusyError as error:
            return _error(503, str(error))
        except (ExploreError, RetrievalError, ModelError, PipelineError) as error:
            return _error(422, str(error))
        except (ShardError, OSError) as error:
            logger.warning("%s: %s", request.path, error)
            return _error(502, str(error))
        except Exception:
            logger.exception("%s failed", request.path)
            return _error(500, "this went wrong in the server; its log says how")

    def _admit(self, request: Request) -> None:
        """Refuse what comes under a foreign name or from another site's page. Raises HTTPException."""
        host = request.environ.get("HTTP_HOST", "")
        if self._hosts and _host_name(host) not in self._hosts:
            raise Forbidden(f"this server does not answer to the name {host!r}; open the address that it printed")
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise Forbidden("pages of other sites may not ask here")

    def _page(self, request: Request) -> Response:
        return Response(self._html, mimetype="text/html", headers={"Cache-Control": "no-cache"})

    def _part(self, request: Request, name: str) -> Response:
        if name not in self._parts:
            raise NotFound(f"there is no {name}")
        return Response(self._parts[name], mimetype=KINDS[Path(name).suffix], headers={"Cache-Control": "no-cache"})

    def _about(self, request: Request) -> Response:
        return _json(self._explorer.about)

    def _some(self, request: Request) -> Response:
        count = min(round(_number(request, "count", 1, least=1)), MOST_CLIPS)
        return _json(self._explorer.some(count, request.args.get("but", "")))

    def _keys(self, request: Request) -> Response:
        return _json(self._explorer.keys_like(request.args.get("text", "")))

    def _clip(self, request: Request, key: str) -> Response:
        return _json(self._explorer.clip(key))

    def _search(self, request: Request) -> Response:
        sides = {name: _choice(request, name, ("image", "audio")) for name in ("by", "to")}
        return _json(self._explorer.search(
            _text(request, "query"), **sides, top=round(_number(request, "top", 24, least=1)),
            labels=request.args.getlist("label"), splits=request.args.getlist("split"),
            duplicates="duplicates" in request.args,
        ))  # fmt: skip

    def _pair(self, request: Request) -> Response:
        frame, start = round(_number(request, "frame")), _number(request, "start")
        return _json(self._explorer.pair(_text(request, "image"), frame, _text(request, "audio"), start))

    def _curve(self, request: Request) -> Response:
        frame = round(_number(request, "frame"))
        return _json(self._explorer.curve(_text(request, "image"), frame, _text(request, "audio")))

    def _upload(self, request: Request) -> Response:
        # A type that no form of another site can send without asking first.
        if request.mimetype != "application/octet-stream":
            raise UnsupportedMediaType("send the file as application/octet-stream")
        name = "".join(letter for letter in request.args.get("name", "") if letter.isprintable())[:NAME_LENGTH]
        return _json(self._explorer.upload(request.stream, name or "the file"))  # type: ignore[arg-type]

    def _frame(self, request: Request, key: str) -> Response:
        clips = self._explorer.clips
        number = clips.timeline(key).frame_at(_number(request, "time"))
        return _media(request, clips.frame(key, number), "image/jpeg")

    def _sound(self, request: Request, key: str) -> Response:
        if "start" in request.args:
            wave, rate = self._explorer.window(key, _number(request, "start", least=-60))
        else:
            wave, rate = self._whole(key)
        data = io.BytesIO()
        soundfile.write(data, wave, rate, format="WAV", subtype="PCM_16")
        return _media(request, data.getvalue(), "audio/wav")

    def _whole(self, key: str) -> tuple[NDArray[np.int16], int]:
        line = self._explorer.clips.timeline(key)
        return self._explorer.clips.sound(key, 0, line.samples), line.rate

    def _spectrum(self, request: Request, key: str) -> Response:
        wave, rate = self._whole(key)
        data = io.BytesIO()
        Image.fromarray(spectrogram(wave.astype(np.float32) / np.float32(32768), rate, *SPECTRUM)).save(data, "PNG")
        return _media(request, data.getvalue(), "image/png")


def _host_name(text: str) -> str | None:
    """Return the host of a Host header without its port; None where it is none."""
    try:
        return urlsplit(f"//{text}").hostname if "@" not in text else None
    except ValueError:
        return None


def _json(values: Any, status: int = 200) -> Response:
    data = json.dumps(values, ensure_ascii=False, allow_nan=False)
    return Response(data, status, mimetype="application/json", headers={"Cache-Control": "no-store"})


def _error(status: int, message: str) -> Response:
    return _json({"error": message}, status)


def _media(request: Request, data: bytes, kind: str) -> Response:
    """Answer with a file, or with the part of it that is asked for: players seek so."""
    response = Response(data, mimetype=kind, headers={"Cache-Control": "private, max-age=3600"})
    asked = request.environ
    if not asked.get("HTTP_RANGE", "").lower().startswith("bytes="):  # a unit that is not known is ignored (RFC 9110)
        asked = {name: value for name, value in asked.items() if name != "HTTP_RANGE"}
    return response.make_conditional(asked, accept_ranges=True, complete_length=len(data))


def _text(request: Request, name: str) -> str:
    value = request.args.get(name, "")
    if not value:
        raise BadRequest(f"{name} is missing")
    return value


def _choice(request: Request, name: str, choices: tuple[str, ...]) -> str | None:
    value = request.args.get(name) or None
    if value not in (None, *choices):
        raise BadRequest(f"{name} must be {' or '.join(choices)}, not {value!r}")
    return value


def _number(request: Request, name: str, default: float = 0.0, least: float = 0.0) -> float:
    text = request.args.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= 1e6:
        raise BadRequest(f"{name} must be a number from {least:g} on, not {text!r}")
    return value
