"""What the documents say exists."""

import re
from pathlib import Path

import pytest
from command import msnvis

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("name", ["README.md", "docs/usage.md"])
def test_options_and_commands_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    help_text = "".join(msnvis(*command.split(), "--help").out for command in ("", "run", "train segmenter"))
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--help"}
    assert len(options) > 5
    assert sorted(option for option in options if option not in help_text) == []
    for command in set(re.findall(r"msnvis (run|demo|info|models|train segmenter)\b", text)):
        assert msnvis(*command.split(), "--help").code == 0


def test_python_examples_are_python():
    blocks = [
        block
        for document in DOCUMENTS
        for block in re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    ]
    assert len(blocks) > 5
    for block in blocks:
        compile(block, "example", "exec")
