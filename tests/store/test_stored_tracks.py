import copy
import pickle

import numpy as np
import pytest

from msnvis.store.journal import Journal
from msnvis.store.tables import ArrayTable, MaskTable, Payloads, StoredMasks, StoredScores
from msnvis.structures import Track, VideoInstances


@pytest.fixture
def masks():
    table = MaskTable(Journal.temporary(), kind=1)
    stored = StoredMasks(table.journal, (2, 3))
    for frame, counts in ((2, b"06"), (5, b"123"), (9, b"06")):
        stored.append(frame, table.put(frame, [counts])[0])
    return stored


def test_masks_are_a_mapping_like_the_dict_they_stand_for(masks):
    as_dict = {
        frame: {"size": [2, 3], "counts": counts} for frame, counts in ((2, b"06"), (5, b"123"), (9, b"06"))
    }
    assert masks == as_dict and as_dict == dict(masks) and len(masks) == 3
    assert list(masks) == [2, 5, 9] and list(masks.items()) == list(as_dict.items())
    assert [frame in masks for frame in (1, 2, 3, 9, 10, "2", None)] == [
        False,
        True,
        False,
        True,
        False,
        False,
        False,
    ]
    assert masks.get(3) is None and masks.keys().isdisjoint([3, 4])
    with pytest.raises(KeyError):
        masks[4]


def test_looking_for_a_mask_reads_none(masks):
    masks._journal.close()
    assert 5 in masks and 4 not in masks and max(masks) == 9
    with pytest.raises(ValueError, match="closed"):
        masks[5]


def test_copies_are_independent_of_the_store(masks):
    scores = StoredScores()
    for frame in masks:
        scores.append(frame, frame / 10)
    assert scores == {2: 0.2, 5: 0.5, 9: 0.9}
    video = VideoInstances("clip", (2, 3), np.arange(10) / 25, ("cat",), [Track(1, 0, 0.5, masks, scores)])
    for twin in (copy.deepcopy(video), pickle.loads(pickle.dumps(video))):
        assert type(twin.tracks[0].rles) is type(twin.tracks[0].frame_scores) is dict
        assert twin.to_ytvis() == video.to_ytvis()


def test_tables_know_their_frames():
    table = ArrayTable(Payloads(Journal.temporary(), kind=3), columns=2)
    table[6] = np.array([[1.5, 2.0]])
    table[1] = np.zeros((0, 2))
    table[6] = np.array([[7.0, 8.0], [9.0, 10.0]])
    assert list(table) == [1, 6] and len(table) == 2
    assert table[6].tolist() == [[7.0, 8.0], [9.0, 10.0]] and table[1].shape == (0, 2)
    assert table.get(3, "none") == "none"
    with pytest.raises(TypeError):
        del table[6]
