"""Long lists in files, element by element."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis.errors import InputError
from msnvis.io.formats import json_list
from msnvis.io.formats.json_list import holds_list, read_list

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 1, "\n\t"]), st.integers(1, 7))
@settings(max_examples=100, deadline=None)
def test_the_elements_are_those_of_the_json_module(tmp_path_factory, values, indent, block):
    """In blocks so small that every element, and every number, is cut somewhere."""
    file = tmp_path_factory.mktemp("list") / "list.json"
    file.write_text(json.dumps(values, indent=indent), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_list, "_BLOCK", block)
        assert list(read_list(file)) == values


@pytest.mark.parametrize("text", ["", "{}", "[", "[1", "[1,", "[1,]", "[1 2]", "[1] 2", '["', "[,1]", "1"])
def test_anything_else_is_refused(text, tmp_path):
    file = tmp_path / "list.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"list\.json is not a JSON list \(.* after [01] entries\)"):
        list(read_list(file))


def test_a_list_is_told_by_its_first_character(tmp_path):
    file = tmp_path / "list.json"
    for text, expected in (("\n [1]", True), ('{"a": [1]}', False), ("", False)):
        file.write_text(text)
        assert holds_list(file) == expected


def test_memory_does_not_grow_with_the_file(tmp_path):
    file = tmp_path / "list.json"
    file.write_text(json.dumps(["x" * 10_000] * 2_000))
    tracemalloc.start()
    assert sum(len(text) for text in read_list(file)) == 20_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000
