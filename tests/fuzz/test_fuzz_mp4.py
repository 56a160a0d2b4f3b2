"""MP4 files whose tables claim absurd things: refused in a sentence, or read in bounded memory and time."""

import io
import struct
import zlib
from functools import reduce

import av
import numpy as np
import pytest
import squares
from fuzz_readers import READERS

from msnvis.errors import InputError
from msnvis.io.mp4 import check_claims

HUGE = 2**31 - 1
CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf"}


def box(kind, content):
    return struct.pack(">I", len(content) + 8) + kind + content


def boxes(data):
    """Kind and content of each box."""
    while data:
        size = int.from_bytes(data[:4], "big")
        yield data[4:8], data[8:size]
        data = data[size:]


def rebuilt(data, changes):
    """The file with the content of boxes changed: kind -> what makes the new content of the old one."""
    parts = []
    for kind, content in boxes(data):
        content = rebuilt(content, changes) if kind in CONTAINERS else content
        parts.append(box(kind, changes.get(kind, bytes)(content)))
    return b"".join(parts)


def number(place, *numbers):
    """Change of 32-bit numbers of a box."""
    new = struct.pack(f">{len(numbers)}I", *(n % 2**32 for n in numbers))
    return lambda content: content[:place] + new + content[place + len(new) :]


def table(*numbers):
    return lambda content: struct.pack(f">{len(numbers)}I", *numbers)


def edits(count, *edit):
    return lambda content: struct.pack(">II", 0, count) + struct.pack(">IiHH", *edit) * count


def whole():
    return READERS["video a.mp4"].make()["a.mp4"]


def fragmented():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov"}) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 80, 48, "yuv420p"
        for image in squares.frames(6):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def samples(count):
    """All tables agree on `count` samples of one byte each, in one chunk."""
    return {b"stsz": number(4, 1, count), b"stts": number(8, count), b"stsc": number(8, 1, count)}


def of_sound(per_chunk):
    """A track of uncompressed sound, whose chunks but the first are long."""
    return {
        b"hdlr": lambda content: content[:8] + b"soun" + content[12:],
        b"stts": table(0, 1, HUGE, 1),
        b"stsc": table(0, 2, 1, 1, 1, 2, per_chunk, 1),
        b"stsz": table(0, 1, HUGE),
        b"stco": table(0, 100, *[48] * 100),
    }


def with_moov(change):
    """The file with what `change` makes of its moov, a whole box."""
    return b"".join(change(box(k, c)) if k == b"moov" else box(k, c) for k, c in boxes(whole()))


def compressed(moov):
    """As QuickTime once wrote it."""
    packed = struct.pack(">I", len(moov)) + zlib.compress(moov)
    return box(b"moov", box(b"cmov", box(b"dcom", b"zlib") + box(b"cmvd", packed)))


TOO_MANY = {
    "samples": lambda: rebuilt(whole(), samples(2**24)),
    "samples, as few as refused": lambda: rebuilt(whole(), samples(10**6 + 1000)),
    "samples of no size": lambda: rebuilt(whole(), {**samples(2**27), b"stsz": number(4, 0, 2**27)}),
    "samples in a compressed header": lambda: with_moov(lambda m: compressed(rebuilt(m, samples(2**23)))),
    "samples in unused space": lambda: rebuilt(whole(), samples(2**23)).replace(b"moov", b"hoov"),
    "samples outside of the header": lambda: (
        whole() + rebuilt(box(b"trak", dict(boxes(dict(boxes(whole()))[b"moov"]))[b"trak"]), samples(2**24))
    ),
    "samples of fragments": lambda: rebuilt(fragmented(), {b"trun": table(0, 2**24)}),
    "sound": lambda: rebuilt(whole(), of_sound(HUGE)),
    "edits of many samples": lambda: rebuilt(whole(), {**samples(10**4), b"elst": edits(200, 1200, 0, 1, 0)}),
}


@pytest.mark.parametrize("case", TOO_MANY)
def test_more_samples_than_a_file_can_hold_are_refused(guard, case):
    outcome = guard.attempt("video a.mp4", {"a.mp4": TOO_MANY[case]()})
    assert outcome.verdict == "refused" and "samples, which" in outcome.text, outcome
    assert outcome.megabytes < 50


@pytest.mark.parametrize("edit", [(1200, 0, 1, 0), (HUGE, -1, 1, 0)], ids=["repeated", "empty"])
def test_endless_edit_lists_are_refused(guard, edit):
    outcome = guard.attempt("video a.mp4", {"a.mp4": rebuilt(whole(), {b"elst": edits(20_000, *edit)})})
    assert outcome.verdict == "refused" and "20000 entries; at most 1000" in outcome.text, outcome


UNEDITED = {b"elst": table(0, 0)}
ABSURD = {
    "steps of years": {**UNEDITED, b"stts": number(12, HUGE), b"mdhd": number(12, 1)},
    "steps backwards": {**UNEDITED, b"stts": number(12, 2**31)},
    "no steps": {**UNEDITED, b"stts": number(12, 0)},
    "shown years later": {**UNEDITED, b"ctts": number(12, HUGE)},
    "shown years before": {**UNEDITED, b"ctts": number(12, -HUGE)},
    "clock that stands": {b"mdhd": number(12, 0), b"mvhd": number(12, 0)},
    "clock of no precision": {**UNEDITED, b"mdhd": number(12, 1)},
    "years long": {b"mdhd": number(16, 2**32 - 2), b"mvhd": number(16, 2**32 - 2)},
    "years of nothing": {b"elst": lambda c: struct.pack(">IIIiHHIiHH", 0, 2, HUGE, -1, 1, 0, 1200, 0, 1, 0)},
    "edits beyond 64 bits": {b"elst": lambda c: struct.pack(">IIQqHH", 1 << 24, 1, 2**63, -(2**62), 1, 0)},
    "edited in 1000 times": {b"elst": edits(1000, 1200, 0, 1, 0)},
    "large picture": {b"tkhd": number(76, 30_000 << 16, 30_000 << 16), b"stsd": number(40, HUGE)},
    "many entries": {b"stts": number(4, 2**31), b"ctts": number(4, 2**31), b"stss": number(4, 2**31)},
    "many chunks": {b"stsc": number(12, 2**31), b"stco": number(4, 2**31)},
    "far away": {b"stco": number(8, 2**32 - 1)},
}


@pytest.mark.parametrize("case", ABSURD)
def test_absurd_numbers(guard, case):
    outcome = guard.attempt("video a.mp4", {"a.mp4": rebuilt(whole(), ABSURD[case])})
    assert outcome.is_fine, outcome
    assert outcome.megabytes < 300


def test_thousands_of_streams(guard):
    def multiplied(moov):
        content = moov[8:]
        (trak,) = (inner for kind, inner in boxes(content) if kind == b"trak")
        return box(b"moov", content + 3000 * box(b"trak", trak))

    outcome = guard.attempt("video a.mp4", {"a.mp4": with_moov(multiplied)})
    assert outcome.verdict == "refused", outcome
    assert outcome.megabytes < 100


def test_boxes_in_boxes_in_boxes(guard):
    deep = reduce(lambda content, _: box(b"moov", content), range(3000), b"")
    assert guard.attempt("video a.mp4", {"a.mp4": deep}).verdict == "refused"
    assert guard.attempt("video a.mp4", {"a.mp4": deep + whole()}).is_fine


@pytest.mark.parametrize("share", [1, 0.3], ids=["whole", "torn"])
def test_honest_files_pass(tmp_path, share):
    """QuickTime with sound, of which a sample is four bytes; its tables come first, which a torn one has."""
    path = tmp_path / "a.mov"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        pictures, sound = (
            container.add_stream("mpeg4", rate=10),
            container.add_stream("pcm_s16le", rate=48_000),
        )
        pictures.width, pictures.height, pictures.pix_fmt = 80, 48, "yuv420p"
        for image in squares.frames(20):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        noise = np.random.default_rng(0).integers(-9000, 9000, (1, 2 * 96_000), dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="stereo")
        frame.sample_rate = 48_000
        container.mux([*sound.encode(frame), *sound.encode(None), *pictures.encode(None)])
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    check_claims(path, "a.mov")
    path.write_bytes(
        path.read_bytes().replace(
            b"stts" + struct.pack(">4I", 0, 1, 96_000, 1), b"stts" + struct.pack(">4I", 0, 1, HUGE, 2)
        )
    )
    path.write_bytes(
        path.read_bytes().replace(struct.pack(">3I", 0, 4, 96_000), struct.pack(">3I", 0, 4, HUGE))
    )
    with pytest.raises(InputError, match=f"claims {HUGE + 20} samples"):
        check_claims(path, "a.mov")


@pytest.mark.parametrize("moov", [compressed, bytes], ids=["compressed", "plain"])
def test_headers_of_every_kind_are_read(guard, moov):
    assert guard.attempt("video a.mp4", {"a.mp4": with_moov(moov)}).verdict == "read"
    assert guard.attempt("video a.mp4", {"a.mp4": fragmented()}).verdict == "read"
