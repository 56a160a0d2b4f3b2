"""Once installed it needs no network: a run with every default, in a process that cannot open a socket."""

import json
import subprocess
import sys

import squares

#: Makes sockets unusable.
OFFLINE = """
import socket

def refuse(*arguments, **options):
    raise SystemExit("the network was used")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.socket.__init__ = socket.create_connection = socket.getaddrinfo = refuse
"""


def run_offline(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", OFFLINE + script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_default_run_needs_no_network(tmp_path):
    clip = squares.write_clip(tmp_path / "clip.mp4", squares.frames(4))
    done = run_offline("from msnvis.cli.main import main; main()", "demo", clip, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    written = {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()}
    assert written.keys() == {"run.json", "tracks.json", "overlay.mp4", "summary.png"}
    assert all(size > 100 for size in written.values())
    assert json.loads((tmp_path / "out" / "tracks.json").read_text())["videos"][0]["length"] == 4


def test_what_has_to_be_fetched_is_told_without_the_network_where_downloads_are_forbidden(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("MSNVIS_OFFLINE", "1")
    monkeypatch.setenv("MSNVIS_CACHE", str(tmp_path))
    clip = squares.write_clip(tmp_path / "clip.mp4", squares.frames(2))
    arguments = ("run", clip, "--preset", "paper", "--output", tmp_path / "out")
    done = run_offline("from msnvis.cli.main import main; main()", *arguments)
    assert done.returncode == 2
    assert "'swin-b-cascade' are not on this machine and MSNVIS_OFFLINE forbids downloads" in done.stderr


def test_the_network_cannot_be_used_unnoticed():
    done = run_offline("import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')")
    assert done.returncode != 0
    assert "the network was used" in done.stderr
