"""What the documents say exists."""

import inspect
import re
from pathlib import Path

import pytest
from command import msnvis

from msnvis.merging.directions import MergingOptions
from msnvis.pipeline import VideoInstanceSegmenter
from msnvis.propagators.flow import FlowPropagator
from msnvis.segmenters.training import TrainOptions
from msnvis.tracking.tracker import TrackingOptions

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []


def all_commands() -> list[str]:
    """Every command and sub-command, as their help lists them."""
    groups = {"": [], "train": []}
    for group, names in groups.items():
        listing = msnvis(*group.split(), "--help").out.partition("Commands:")[2]
        names += re.findall(r"^  ([a-z-]+)  ", listing, re.MULTILINE)
    return [name for name in groups[""] if name != "train"] + [f"train {name}" for name in groups["train"]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_their_options_exist(document):
    """Each line that begins with `msnvis COMMAND` uses only options that this command has."""
    commands = {command: msnvis(*command.split(), "--help").out for command in all_commands()}
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in re.findall(r"^msnvis (.+)$", text, re.MULTILINE):
        line = line.partition(" #")[0]
        command = next((name for name in commands if f"{line} ".startswith(f"{name} ")), None)
        assert command, f"there is no `msnvis {line}`"
        options = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", line)
        assert [o for o in options if not re.search(rf"{o}[ ,/]", commands[command])] == [], line


def test_options_named_in_the_readme_and_usage_exist():
    known = "".join(msnvis(*command.split(), "--help").out for command in ["", *all_commands()])
    for name in ("README.md", "docs/usage.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--help"}
        assert len(options) > 5
        assert sorted(option for option in options if option not in known) == []


def test_python_examples_are_python():
    blocks = [
        block
        for document in DOCUMENTS
        for block in re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    ]
    assert len(blocks) > 5
    for block in blocks:
        compile(block, "example", "exec")


def test_decisions_list_every_option_of_the_pipeline_with_its_default():
    tracking, merging = (inspect.signature(kind).parameters for kind in (TrackingOptions, MergingOptions))
    others = [inspect.signature(f).parameters for f in (VideoInstanceSegmenter, FlowPropagator, TrainOptions)]
    defaults = {name: p.default for known in (*others, merging, tracking) for name, p in known.items()}
    text = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    assert [name for name in {**tracking, **merging} if f"`{name}`" not in text] == []
    checked = set()
    for row in re.findall(r"^\| .+ \|$", text, re.MULTILINE):
        names = re.findall(r"`(\w+)`", row.split("|")[2])
        given = re.findall(r"`\w+`|(?<![\w.])\d+(?:\.\d+)?|\bon\b", row.split("|")[3])
        for name, value in zip(names, given * len(names) if len(given) == 1 else given, strict=False):
            if name in defaults:
                expected = {"on": "True"}.get(value, value.strip("`"))
                assert expected == str(defaults[name]), row
                checked.add(name)
    assert len(checked) > 20
