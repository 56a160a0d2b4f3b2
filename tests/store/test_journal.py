import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis.errors import InputError, OutputError
from msnvis.store.journal import MAGIC, Journal

records = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 2**63), st.binary(max_size=40)), min_size=1, max_size=5
)


def filled(path, entries, about=b"about"):
    journal = Journal.open(path, about)
    written = [(journal.append(*entry), entry[2]) for entry in entries]
    return journal, written


def payloads(journal):
    return [journal.read(r.offset, r.length) for r in journal.records()]


@settings(max_examples=20, deadline=None)
@given(records, st.binary(max_size=20))
def test_torn_at_every_byte(tmp_path_factory, entries, about):
    folder = tmp_path_factory.mktemp("journal")
    journal, written = filled(folder / "whole", entries, about)
    journal.close()
    whole = (folder / "whole").read_bytes()
    begun = len(MAGIC) + 8 + len(about)
    for size in range(len(whole) + 1):
        path = folder / "torn"
        path.write_bytes(whole[:size])
        torn = Journal.open(path, about if size >= begun else b"new")
        complete = [payload for record, payload in written if record.offset + record.length <= size]
        assert payloads(torn) == complete
        assert torn.about == (about if size >= begun else b"new")
        torn.append(9, 3, b"more")  # goes on after what is complete
        torn.close()
        assert payloads(Journal.open(path, b"")) == [*complete, b"more"]


@settings(max_examples=20, deadline=None)
@given(records, st.data())
def test_a_changed_byte_ends_it_there(tmp_path_factory, entries, data):
    path = tmp_path_factory.mktemp("journal") / "journal"
    journal, written = filled(path, entries)
    journal.close()
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(len(MAGIC) + 8 + 5, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    before = [payload for record, payload in written if record.offset + record.length <= place]
    assert payloads(Journal.open(path, b"about")) == before


def test_it_is_read_while_it_is_written(tmp_path):
    journal = Journal.open(tmp_path / "journal", b"")
    for number in range(50):
        record = journal.append(1, number, bytes([number]) * number)
        assert journal.read(record.offset, record.length) == bytes([number]) * number
        assert [r.frame for r in journal.records()] == list(range(number + 1))
    assert (tmp_path / "journal").stat().st_size == journal.size


def test_cutting_back(tmp_path):
    journal, written = filled(tmp_path / "journal", [(1, n, b"x" * n) for n in range(5)])
    end = written[2][0].offset + written[2][0].length
    journal.cut(end)
    journal.append(1, 7, b"new")
    assert [r.frame for r in journal.records()] == [0, 1, 2, 7]
    journal.close()
    assert payloads(Journal.open(tmp_path / "journal", b"")) == [b"", b"x", b"xx", b"new"]


@pytest.mark.parametrize(
    "content", [b"something else entirely", MAGIC.replace(b"\x01", b"\x02") + b"\0" * 30]
)
def test_other_files_and_other_versions_are_refused_and_left_alone(tmp_path, content):
    (tmp_path / "journal").write_bytes(content)
    with pytest.raises(InputError, match="not written by this version"):
        Journal.open(tmp_path / "journal", b"")
    assert (tmp_path / "journal").read_bytes() == content


def test_lengths_that_lie_take_no_memory(tmp_path):
    journal, _ = filled(tmp_path / "journal", [(1, 0, b"found")])
    journal.close()
    content = bytearray((tmp_path / "journal").read_bytes())
    content[-len(b"found") - 8 : -len(b"found") - 4] = b"\xff" * 4  # the record's length
    (tmp_path / "journal").write_bytes(content)
    assert payloads(Journal.open(tmp_path / "journal", b"")) == []
    content[len(MAGIC) : len(MAGIC) + 4] = b"\xff" * 4  # that of what it is about
    (tmp_path / "journal").write_bytes(content)
    assert Journal.open(tmp_path / "journal", b"new").about == b"new"


class SmallDisk(io.BytesIO):
    """Holds so many bytes; of the last write a part goes through, as on a real disk."""

    def __init__(self, space: int):
        super().__init__()
        self.space = space

    def write(self, data):
        room = self.space - self.tell()
        if room <= 0 and len(data):
            raise OSError(28, "No space left on device")
        return super().write(bytes(data)[:room])


@settings(max_examples=20, deadline=None)
@given(records, st.integers(0, 200))
def test_a_full_disk_leaves_what_is_complete(entries, space):
    disk = SmallDisk(10**6)
    journal = Journal(disk, "the journal", "free some space")
    journal._begin(b"")
    disk.space = space
    kept = []
    for kind, frame, payload in entries:
        try:
            journal.append(kind, frame, payload)
        except OutputError as error:
            assert "the journal cannot be written (No space left on device); free some space" in str(error)
        else:
            kept.append(payload)
    assert payloads(journal) == kept
    disk.space = 10**6
    journal.append(0, 0, b"again")
    assert payloads(journal) == [*kept, b"again"]


def test_a_temporary_one_moves_to_the_disk_unnoticed(monkeypatch):
    monkeypatch.setattr("msnvis.store.journal._MEMORY_BYTES", 100)
    journal = Journal.temporary()
    for number in range(20):
        journal.append(1, number, b"%d" % number * 10)
    assert payloads(journal) == [b"%d" % number * 10 for number in range(20)]
    assert journal._file._rolled
