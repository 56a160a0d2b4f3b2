"""Intermediate results of a run: an append-only file of records, checkpoints, and the folder of both."""

from msnvis.store.detections import DetectionStore
from msnvis.store.folder import WorkFolder
from msnvis.store.journal import Journal
from msnvis.store.run_store import RunStore

__all__ = ["DetectionStore", "Journal", "RunStore", "WorkFolder"]
