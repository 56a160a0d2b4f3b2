"""A web server for tests that drops its connections."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Callable, Iterable, Iterator


class _Dropping(http.server.BaseHTTPRequestHandler):
    """Gives the next of the server's answers to each request; errors when there are no more."""

    def do_GET(self) -> None:
        self.server.requests.append(time.monotonic())
        answer = next(self.server.answers, None)
        if callable(answer):
            answer = answer()
        if answer is None:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", self.server.kind)
        if self.server.length is not None:
            self.send_header("Content-Length", str(self.server.length))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def dropping_server(
    answers: Iterable[bytes | Callable[[], None] | None], length: int | None = None, kind: str = "video/mp2t"
) -> Iterator[tuple[http.server.HTTPServer, str]]:
    """A server, with the times of its `requests`, and the address of its video.

    Args:
        answers: to one request after the other: what is sent before the connection is dropped, or None for an
            error, which also follows the last one; or what to call for that.
        length: promised in each answer.
        kind: the content type.
    """
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Dropping) as server:
        server.answers, server.length, server.kind, server.requests = iter(answers), length, kind, []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server, f"http://127.0.0.1:{server.server_port}/street.ts"
        finally:
            server.shutdown()
