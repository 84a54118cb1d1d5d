"""The page's server: on 127.0.0.1 alone, and for a page of its own alone.

Any page in the browser can send requests to this machine. The server therefore answers only where the request names it
by its own address (else a name that somebody else's server gives out could lead here, "DNS rebinding"), and takes a
photograph only from its own page. It keeps nothing.
"""

import argparse
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from explainer.cli.serving.answer import Answer, explain_bytes
from explainer.errors import InputError, plain_words
from explainer.inference.explain import Explainer

ADDRESS = "127.0.0.1"
"""Address that only this machine reaches."""
_FOLDER = Path(__file__).parent
# the report's own files: the page has its look. As a path, because the room's modules load all that an evaluation needs
_REPORT = Path(__file__).parents[2] / "evaluation" / "report"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every answer: the page runs its own script alone, and nobody else shows or stores it."""


@dataclass(frozen=True)
class File:
    """A file of the page.

    Attributes:
        kind: Media type.
        content: Content.
    """

    kind: str
    content: bytes


@dataclass(frozen=True)
class Site:
    """What the server answers.

    Attributes:
        files: Path → file that is sent.
        explain: Function that explains the content of a photograph's file.
        most_bytes: Largest photograph that is taken, in bytes.
    """

    files: Mapping[str, File]
    explain: Callable[[bytes], Answer]
    most_bytes: int


class Handler(BaseHTTPRequestHandler):
    """Answers one request.

    Args:
        site: What there is to answer.
        arguments: Arguments of the base class: connection, address, server.
    """

    server_version = "explainer"
    sys_version = ""
    timeout = 60
    """Seconds after which a connection that sends nothing is closed."""

    def __init__(self, site: Site, *arguments: Any) -> None:
        self.site = site
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Send a file of the page."""
        file = self.site.files.get(self.path)
        if not self._is_for_us():
            self._refuse(HTTPStatus.FORBIDDEN, "this page is only for the machine that serves it")
        elif file is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        else:
            self._send(HTTPStatus.OK, file)

    def do_POST(self) -> None:
        """Explain a photograph that the page sends."""
        length = self.headers.get("Content-Length", "")
        megabytes = self.site.most_bytes / 2**20
        if not self._is_for_us() or not self._is_from_us():
            self._refuse(HTTPStatus.FORBIDDEN, "photographs are taken only from the page itself")
        elif self.path != "/explain":
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        elif not (length.isascii() and length.isdecimal()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "the size of the photograph is missing")
        elif int(length) > self.site.most_bytes:
            words = f"the file is larger than {megabytes:g} MB: shrink it, or serve with --most_megabytes"
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, words)
        else:
            self._explain(int(length))

    def _explain(self, length: int) -> None:
        """Read a photograph, and send its explanation, or what is wrong with it."""
        content = self.rfile.read(length)
        try:
            answer = self.site.explain(content)
        except InputError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except Exception as error:  # the next photograph may fare better
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, plain_words(error))
        else:
            self._send(HTTPStatus.OK, as_json(answer))

    def _is_for_us(self) -> bool:
        """Tell whether the request names this server by an address of this machine."""
        return self.headers.get("Host") in self._hosts()

    def _is_from_us(self) -> bool:
        """Tell whether the page itself sends the request; a program that is no browser names no page."""
        origin = self.headers.get("Origin")
        return origin is None or origin in {f"http://{host}" for host in self._hosts()}

    def _hosts(self) -> set[str]:
        """Return the names of this server."""
        port = self.connection.getsockname()[1]
        return {f"{ADDRESS}:{port}", f"localhost:{port}"}

    def _refuse(self, status: HTTPStatus, words: str) -> None:
        """Send one line that says what is wrong."""
        self._send(status, as_json({"error": words}))

    def _send(self, status: HTTPStatus, file: File) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", file.kind)
        self.send_header("Content-Length", str(len(file.content)))
        self.end_headers()
        self.wfile.write(file.content)

    def log_message(self, *arguments: Any) -> None:
        """Write nothing: the person looks at the page."""


def as_json(value: Mapping[str, Any]) -> File:
    """Return values as a file.

    Args:
        value: Plain values.
    """
    return File("application/json", json.dumps(value).encode())


def site_of(explainer: Explainer, options: argparse.Namespace) -> Site:
    """Put together what the server answers.

    Args:
        explainer: Explainer of all photographs.
        options: Options of the command line.
    """
    most_bytes = options.most_megabytes * 2**20
    about = {"classes": explainer.classes, "most_bytes": most_bytes, "checkpoint": options.ckpt_path.name}
    style = (_REPORT / "style.css").read_bytes() + (_FOLDER / "page.css").read_bytes()
    script = (_REPORT / "theme.js").read_bytes() + (_FOLDER / "page.js").read_bytes()
    files = {
        "/": File("text/html; charset=utf-8", (_FOLDER / "page.html").read_bytes()),
        "/page.css": File("text/css; charset=utf-8", style),
        "/page.js": File("text/javascript; charset=utf-8", script),
        "/about": as_json(about),
    }
    one_at_a_time = threading.Lock()

    def explain(content: bytes) -> Answer:
        # two photographs at once would need the memory of both, and take no less time
        with one_at_a_time:
            return explain_bytes(explainer, content, options.threshold, options.top)

    return Site(files, explain, most_bytes)


def server_of(site: Site, port: int) -> ThreadingHTTPServer:
    """Open the server; it answers once `serve_forever` is called.

    Args:
        site: What the server answers.
        port: Port; 0 takes a free one.

    Raises:
        InputError: The port is taken, or may not be used.
    """
    try:
        return ThreadingHTTPServer((ADDRESS, port), partial(Handler, site))
    except OSError as error:
        raise InputError(f"port {port} cannot be used ({error.strerror}): choose another with --port") from error


def serve(options: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C.

    Args:
        options: Options of the command line.

    Raises:
        InputError: The checkpoint or the port cannot be used.
    """
    explainer = Explainer(options.ckpt_path, options.device, options.allow)
    with server_of(site_of(explainer, options), options.port) as server:
        print(f"http://{ADDRESS}:{server.server_port} explains photographs; Ctrl-C ends it", flush=True)
        server.serve_forever()
