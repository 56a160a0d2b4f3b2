"""What the documents say exists."""

import inspect
import re
from pathlib import Path

import pytest
from command import msnvis

from msnvis.merging.directions import MergingOptions
from msnvis.pipeline import VideoInstanceSegmenter
from msnvis.presets import PRESETS
from msnvis.propagators import propagators
from msnvis.propagators.flow import FlowPropagator
from msnvis.segmenters import classifiers, segmenters
from msnvis.segmenters.training import TrainOptions
from msnvis.selection import selectors
from msnvis.tracking.tracker import TrackingOptions
from msnvis.weights.catalogue import find_weights, is_known, known_weights

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []


def all_commands() -> list[str]:
    """Every command and sub-command, as their help lists them."""
    groups = {"": [], "train": [], "weights": []}
    for group, names in groups.items():
        listing = msnvis(*group.split(), "--help").out.partition("Commands:")[2]
        names += re.findall(r"^  ([a-z-]+)  ", listing, re.MULTILINE)
    return [
        f"{group} {name}".strip() for group, names in groups.items() for name in names if name not in groups
    ]


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


def rows(document: str) -> list[list[str]]:
    """Cells of all tables of a document."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    lines = re.findall(r"^\| (.+) \|$", text, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines]


@pytest.mark.parametrize(
    "registry", [segmenters, classifiers, propagators, selectors], ids=lambda registry: registry.kind
)
def test_models_page_lists_every_part(registry):
    listed = {name for row in rows("models.md") for name in re.findall(r"`([^`]+)`", row[0])}
    families = {name.partition(":")[0] + ":" for name in listed if ":" in name}
    ours = [
        name
        for name, entry in registry.entries().items()
        if getattr(entry.create, "func", entry.create).__module__.startswith("msnvis.")
    ]
    assert ours
    assert [name for name in ours if name not in listed | families] == []


def test_models_page_describes_the_presets_as_they_are():
    cells = {row[0].strip("`"): " ".join(row[1:]) for row in rows("models.md")}
    for name, preset in PRESETS.items():
        parts = [part for kind, part in preset.options.items() if kind != "direction"]
        parts += [choice.part for choices in preset.choices.values() for choice in choices]
        names = [part if isinstance(part, str) else part[0] for part in parts]
        assert [part for part in names if f"`{part}`" not in cells[f"--preset {name}"]] == []


@pytest.mark.parametrize("document", ["weights.md", "models.md"])
def test_pages_give_licence_and_size_of_weights_as_the_list_does(document):
    checked = 0
    for row in rows(document):
        name = row[0].strip("`")
        if is_known(name) and name != "torchvision:NAME":
            weights = find_weights(name)
            assert weights.licence in row and f"{weights.megabytes:.0f}" in row, row
            checked += 1
    assert checked > 7
    if document == "weights.md":
        named = [row[0].strip("`") for row in rows(document)]
        assert [weights.name for weights in known_weights() if weights.name not in named] == []


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
