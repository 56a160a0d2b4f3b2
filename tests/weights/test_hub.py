import pytest

from msnvis.errors import MissingExtraError, WeightsError
from msnvis.weights.hub import load_from_hub


def test_a_folder_is_loaded_where_it_lies(tmp_path):
    assert load_from_hub(str(tmp_path), lambda folder: folder) == str(tmp_path)


def test_offline_a_missing_model_is_not_asked_for(monkeypatch):
    monkeypatch.setenv("MSNVIS_OFFLINE", "1")
    with pytest.raises(
        WeightsError, match=r"'nobody/nothing' is not.* on this machine and MSNVIS_OFFLINE forbids"
    ):
        load_from_hub("nobody/nothing", lambda folder: folder)


@pytest.mark.parametrize("name", ["/no/such/folder", "a/b/c", "with space/x"])
def test_what_is_neither_a_folder_nor_a_name_is_refused(name):
    with pytest.raises(WeightsError, match="neither a folder nor a model"):
        load_from_hub(name, lambda folder: folder)


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch):
    import huggingface_hub

    asked = []

    def unreachable(name, local_files_only=False, **options):
        if local_files_only:
            raise FileNotFoundError("not here")
        asked.append(name)
        raise ConnectionError("no route\nmore words")

    monkeypatch.delenv("MSNVIS_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(WeightsError, match=r"cannot be downloaded .*\(no route\); check its name"):
        load_from_hub("someone/something", lambda folder: folder)
    assert asked == ["someone/something"]


def test_an_incomplete_folder_is_completed_and_loaded_again(monkeypatch, tmp_path):
    import huggingface_hub

    def download(name, local_files_only=False, **options):
        if not local_files_only:
            (tmp_path / "model.safetensors").touch()
        return str(tmp_path)

    def load(folder):
        return (tmp_path / "model.safetensors").stat().st_size

    monkeypatch.delenv("MSNVIS_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert load_from_hub("someone/something", load) == 0


def test_a_package_that_the_library_misses_is_named(tmp_path):
    def load(folder):
        raise ImportError("Model needs timm: pip install timm.\nMore words")

    with pytest.raises(MissingExtraError, match=r"transformers:.* not installed \(Model needs timm: pip ins"):
        load_from_hub(str(tmp_path), load)
