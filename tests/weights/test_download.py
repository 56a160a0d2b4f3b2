"""Downloads from a server on this machine that misbehaves in the ways that real ones do."""

import hashlib
import io
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from msnvis.errors import WeightsError
from msnvis.weights import download
from msnvis.weights.catalogue import WeightFile
from msnvis.weights.files import weights_path

_ARCHIVE = io.BytesIO()
torch.save({"w": torch.arange(200_000, dtype=torch.float32)}, _ARCHIVE)
CONTENT = _ARCHIVE.getvalue()
SIZE = len(CONTENT)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"<html>Sign in to continue</html>" * 1000


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT in the way that the path names, and notes the requests.

    A path is words with ``-`` between them; ``once`` at its end makes only the first request go wrong.
    """

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        words = set(self.path.strip("/").split("-"))
        if "once" in words and len(self.server.requests) > 1:
            words = {"right"} | words & {"untold"}
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        body, tag = CONTENT, '"first"'
        if "careless" in words or (self.path == "/replaced-once" and len(self.server.requests) > 1):
            tag = '"second"'
        if "ignores" in words or (self.headers.get("If-Range") != tag and "careless" not in words):
            start = 0
        tag = None if "untold" in words else tag
        if "gone" in words:
            self.send_error(404)
        elif "private" in words:
            self.send_error(403)
        elif "busy" in words:
            self.send_error(503)
        elif "broken" in words:
            self.send_error(500)
        elif "other" in words:
            self.answer(CONTENT[::-1], 0, tag)
        elif "page" in words:
            self.answer(PAGE, 0, tag)
        elif "half" in words:
            self.answer(CONTENT[: SIZE // 2], 0, tag)
        elif "breaks" in words:
            self.answer(body, start, tag, sent=300_000)
        elif "stuck" in words:
            self.answer(body, start, tag, sent=1000 if not start else 0)
        elif "stalls" in words:
            self.answer(body, start, tag, sent=1000 if not start else 0)
            self.server.closing.wait(60)
        elif "drips" in words:
            self.answer(body, start, tag, pause=0.01)
        elif "more" in words:
            self.answer(body, start, tag, length=SIZE - start + 1000)
        elif "less" in words:
            self.answer(body, start, tag, length=1000)
        elif "lengthless" in words:
            self.answer(body, 0, tag, length=None)
        elif "elsewhere" in words:
            self.answer(body, start, tag, claims=0)
        else:
            self.answer(body, start, tag)

    def answer(self, content, start, tag, sent=None, length=-1, pause=0.0, claims=None):
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            begin = start if claims is None else claims
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if tag:
            self.send_header("ETag", tag)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        for at in range(0, len(body[:sent]), 100_000):
            self.wfile.write(body[:sent][at : at + 100_000])
            time.sleep(pause)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("MSNVIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MSNVIS_OFFLINE", raising=False)
    monkeypatch.setattr(download, "_PAUSE_S", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests, server.closing = [], threading.Event()
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.closing.set()
        server.shutdown()


@pytest.fixture
def weights(server):
    def make(path, sha256=DIGEST):
        url = f"http://127.0.0.1:{server.server_port}{path}"
        return WeightFile("net", "net.pth", "Apache-2.0", "a test", 1.0, sha256=sha256, url=url)

    return make


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "weights" / "net.pth"


def names(target):
    """What is in the cache, without the lock."""
    return {path.name for path in target.parent.iterdir()} - {"net.pth.lock"}


def begun(target, content, version):
    """An earlier attempt's."""
    target.parent.mkdir(parents=True)
    target.with_name("net.pth.part").write_bytes(content)
    target.with_name("net.pth.part.version").write_text(version)


WHOLE = ["right", "busy-once", "broken-once", "breaks-once", "breaks", "more-once", "lengthless", "drips"]


@pytest.mark.parametrize("sha256", [DIGEST, DIGEST[:8], ""], ids=["sum", "beginning", "no sum"])
@pytest.mark.parametrize("path", [*WHOLE, "breaks-untold-once", "breaks-ignores-once", "replaced-once"])
def test_file_arrives_whole_and_is_remembered(weights, target, path, sha256):
    assert weights_path(weights(f"/{path}", sha256)) == target
    assert target.read_bytes() == CONTENT
    assert names(target) == {"net.pth", "net.pth.sha256"}
    assert target.with_name("net.pth.sha256").read_text() == f"{DIGEST}  net.pth\n"


def test_second_time_needs_no_server(weights, server):
    wanted = weights("/right", sha256=DIGEST[:8])
    weights_path(wanted)
    assert weights_path(wanted).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_broken_connection_is_resumed_where_it_broke(weights, server):
    weights_path(weights("/breaks"))
    assert [wanted for _, wanted in server.requests] == [None, "bytes=300000-", "bytes=600000-"]


def test_server_that_claims_too_much_is_believed_when_it_has_no_more(weights, server):
    weights_path(weights("/more"))
    assert [wanted for _, wanted in server.requests] == [None, f"bytes={SIZE}-"]


@pytest.mark.parametrize("there", [300_000, SIZE])
@pytest.mark.parametrize("path", ["/right", "/ignores"])
def test_earlier_download_is_continued(weights, server, target, there, path):
    begun(target, CONTENT[:there], '"first"')
    assert weights_path(weights(path)).read_bytes() == CONTENT
    assert server.requests == [(path, f"bytes={there}-")]


@pytest.mark.parametrize("version", ['"an older file"', ""])
@pytest.mark.parametrize("sha256", [DIGEST, ""])
def test_earlier_download_of_another_file_is_not_continued(weights, target, version, sha256):
    begun(target, b"x" * 1000, version)
    assert weights_path(weights("/right", sha256)).read_bytes() == CONTENT


def test_longer_file_than_the_server_has_is_thrown_away(weights, server, target):
    begun(target, b"x" * (SIZE + 1), '"first"')
    assert weights_path(weights("/right")).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [f"bytes={SIZE + 1}-", None]


def test_server_that_goes_on_elsewhere_is_asked_for_all(weights, server, target):
    begun(target, CONTENT[:300_000], '"first"')
    assert weights_path(weights("/elsewhere")).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == ["bytes=300000-", None]


def test_server_that_goes_on_with_another_file_is_asked_for_all(weights, server, target):
    begun(target, b"x" * 1000, '"first"')
    assert weights_path(weights("/careless", "")).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == ["bytes=1000-", None]


@pytest.mark.parametrize(
    ("path", "sha256", "problem"),
    [
        ("/other", DIGEST, f"its SHA-256 does not begin with {DIGEST}"),
        ("/less", DIGEST[:8], f"its SHA-256 does not begin with {DIGEST[:8]}"),
        ("/page", "", "it is no whole file of torch.save"),
        ("/half", "", "it is no whole file of torch.save"),
        ("/less", "", "it is no whole file of torch.save"),
    ],
)
def test_wrong_file_is_refused(weights, target, path, sha256, problem):
    wanted = weights(path, sha256)
    with pytest.raises(WeightsError) as caught:
        weights_path(wanted)
    assert str(caught.value) == (
        f"{wanted.url} is not the expected file: {problem}; try again, or put the right file at {target}"
    )
    assert names(target) == set()
    assert weights_path(weights("/right", sha256)).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "reason", "attempts"),
    [
        ("/gone", "HTTP 404 Not Found", 1),
        ("/private", "HTTP 403 Forbidden", 1),
        ("/broken", "HTTP 500 Internal Server Error", 4),
        ("/busy", "HTTP 503 Service Unavailable", 4),
        ("/stuck", f"the connection broke off after 1000 of {SIZE} bytes", 5),
        ("/breaks-untold", f"the connection broke off after 300000 of {SIZE} bytes", 5),
    ],
)
def test_download_that_fails_says_why_and_goes_on_later(weights, server, target, path, reason, attempts):
    wanted = weights(path)
    with pytest.raises(WeightsError) as caught:
        weights_path(wanted)
    assert str(caught.value) == (
        f"cannot download the weights 'net' from {wanted.url} ({reason}); "
        f"check the network and try again, or put the file at {target}"
    )
    assert len(server.requests) == attempts
    assert not target.exists()
    assert weights_path(weights("/right")).read_bytes() == CONTENT
    assert names(target) == {"net.pth", "net.pth.sha256"}


def test_server_that_falls_silent(weights, server, target, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT_S", 1)
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    with pytest.raises(WeightsError, match="timed out"):
        weights_path(weights("/stalls"))
    assert not target.exists()
    monkeypatch.setattr(download, "_TIMEOUT_S", 30)
    assert weights_path(weights("/right")).read_bytes() == CONTENT
    assert server.requests[-1] == ("/right", "bytes=1000-")


def test_pauses_double_until_something_new_arrives(weights, monkeypatch):
    pauses = []
    monkeypatch.setattr(download, "_PAUSE_S", 1.0)
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    with pytest.raises(WeightsError):
        weights_path(weights("/busy"))
    assert pauses == [1.0, 2.0, 4.0]


def test_no_network(weights, server, target):
    wanted = weights("/right")
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsError, match=r"refused.*check the network and try again, or put the file at"):
        weights_path(wanted)
    assert not target.exists()


def test_offline_opens_no_socket_and_says_what_to_put_where(weights, server, target, monkeypatch):
    monkeypatch.setenv("MSNVIS_OFFLINE", "1")
    wanted = weights("/right")
    with pytest.raises(WeightsError, match="MSNVIS_OFFLINE forbids downloads") as caught:
        weights_path(wanted)
    assert f"put {wanted.url} at {target}" in str(caught.value)
    assert not server.requests
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT)
    assert weights_path(wanted) == target


def test_cache_that_cannot_be_written(weights, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match=r"cannot write .*; set MSNVIS_CACHE"):
        weights_path(weights("/right"))


def test_two_at_once_download_once(weights, server):
    wanted = weights("/right")
    threads = [threading.Thread(target=weights_path, args=(wanted,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert weights_path(wanted).read_bytes() == CONTENT
