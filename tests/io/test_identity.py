import shutil

import squares
from PIL import Image

from msnvis.io.identity import _END, file_identity
from msnvis.io.readers import open_source, source_from_frames


def test_a_changed_file_is_another_one(tmp_path):
    file = tmp_path / "clip.mp4"
    content = bytearray(3 * _END)
    identities = []
    for place in (None, 0, _END - 1, 2 * _END, 3 * _END - 1):
        changed = bytearray(content)
        if place is not None:
            changed[place] = 1
        file.write_bytes(changed)
        identities.append(str(file_identity(file)))
    file.write_bytes(content[:-1])
    identities.append(str(file_identity(file)))
    file.write_bytes(b"")
    identities.append(str(file_identity(file)))
    assert len(set(identities)) == len(identities)


def test_a_file_is_the_same_in_another_folder_and_with_another_window_not(tmp_path):
    clip = squares.write_clip(tmp_path / "clip.mp4", squares.frames(4))
    (tmp_path / "other").mkdir()
    shutil.copy(clip, tmp_path / "other")
    first = open_source(clip).identity()
    assert open_source(tmp_path / "other" / "clip.mp4").identity() == first
    windows = [{"start": 1}, {"start": 0.1}, {"end": 3}, {"stride": 2}]
    others = [open_source(clip, **window).identity() for window in windows]
    assert len({str(identity) for identity in (first, *others)}) == 5


def test_folders_of_frames(tmp_path):
    for number, image in enumerate(squares.frames(4)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    first = open_source(tmp_path).identity()
    assert open_source(tmp_path).identity() == first
    assert open_source(tmp_path, stride=2).identity() != first
    (tmp_path / "2.png").rename(tmp_path / "2b.png")
    assert open_source(tmp_path).identity() != first
    (tmp_path / "2b.png").rename(tmp_path / "2.png")
    Image.fromarray(squares.frames(4)[0] // 2).save(tmp_path / "3.png")
    assert open_source(tmp_path).identity() != first


def test_what_cannot_be_recognised_says_so():
    assert source_from_frames(squares.frames(2)).identity() is None
    assert source_from_frames(iter(squares.frames(2))).identity() is None
