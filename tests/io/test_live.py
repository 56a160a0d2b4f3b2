"""Cameras and addresses: a local web server stands for the network."""

from __future__ import annotations

import functools
import http.server
import socket
import threading

import pytest
from video_makers import number_of, write_video

from msnvis.errors import InputError
from msnvis.io.readers import open_source


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path):
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield tmp_path, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_address_is_read_forward_once(site):
    folder, address = site
    write_video(folder / "street.ts", 12, pts=[5000 + 40 * number for number in range(12)])
    source = open_source(f"{address}/street.ts?key=secret", start=1, stride=2, max_side=32)
    assert source.live and source.name == "street.ts" and source.size == (24, 32)
    frames = list(source.frames())
    assert [number_of(frame.image) for frame in frames] == [1, 3, 5, 7, 9, 11]
    assert [frame.index for frame in frames] == list(range(6))
    assert frames[0].timestamp == pytest.approx(0.04, abs=1e-3)
    assert source.num_frames == 6
    assert "network stream, live" in str(source.describe())
    with pytest.raises(InputError, match=r"was read already"):
        list(source.frames())
    with pytest.raises(InputError, match=r"can only be read forward"):
        source.frames_reversed()


def test_addresses_that_give_nothing(site):
    folder, address = site
    with pytest.raises(InputError, match=r"^none\.ts cannot be opened"):
        open_source(f"{address}/none.ts")
    (folder / "page.html").write_text("<html>" + "no video " * 500 + "</html>")
    with pytest.raises(InputError, match=r"^page\.html is not a video"):
        open_source(f"{address}/page.html")


def test_a_connection_that_breaks_off_keeps_what_came(site):
    folder, address = site
    whole = write_video(folder / "whole.ts", 40, options={"g": "10"}).read_bytes()
    (folder / "cut.ts").write_bytes(whole[: len(whole) * 2 // 3])
    source = open_source(f"{address}/cut.ts")
    numbers = [number_of(frame.image) for frame in source.frames()]
    assert 10 < len(numbers) < 40
    assert numbers[:10] == list(range(10))


@pytest.mark.parametrize("camera", [99, "99"])
def test_a_camera_that_is_not_there(camera, capfd):
    with pytest.raises(InputError, match=r"^camera 99 cannot be opened"):
        open_source(camera)
    assert capfd.readouterr().err == ""


def test_an_address_that_falls_silent_is_told_in_words(monkeypatch):
    monkeypatch.setattr("msnvis.io.live.TIMEOUT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and says nothing
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/street.ts"
        with pytest.raises(InputError, match=r"^street\.ts cannot be opened: it did not answer in time"):
            open_source(address)
