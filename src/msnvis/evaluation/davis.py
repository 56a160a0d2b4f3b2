"""J, F and J&F of folders of label maps, with the numbers of the official davis2017-evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from msnvis.errors import InputError
from msnvis.evaluation.boundaries import Shape, radius
from msnvis.evaluation.tables import text_table
from msnvis.io.formats import reading
from msnvis.io.formats.png import read_labels

#: Pixels of this value in ground truth belong to no object and are not judged.
VOID = 255
#: Objects that an unsupervised result may propose for a sequence (official `max_n_proposals`).
MAX_PROPOSALS = 20
#: J or F above which a frame counts as recalled.
_RECALL_AT = 0.5
#: The decay is the mean of the first quarter of a sequence less that of the last.
_QUARTERS = 4


class Task(str, Enum):
    """How objects of results and ground truth correspond.

    Semi-supervised: by their number, which the first frame gives. Unsupervised: by the best assignment.
    """

    SEMI_SUPERVISED = "semi-supervised"
    UNSUPERVISED = "unsupervised"


@dataclass(frozen=True)
class ObjectScores:
    """One object of the ground truth.

    Attributes:
        sequence: name.
        object: its number in the label maps.
        j: ``(T,)`` float64 for each frame judged.
        f: ``(T,)`` float64.
    """

    sequence: str
    object: int
    j: np.ndarray
    f: np.ndarray


@dataclass(frozen=True)
class DavisReport:
    """All objects of all sequences.

    >>> scores = ObjectScores("bear", 1, np.array([1.0, 0.5]), np.array([1.0, 0.0]))
    >>> DavisReport([scores]).summary()["J&F-Mean"]
    0.625
    """

    objects: list[ObjectScores]

    def summary(self) -> dict[str, float]:
        """The official statistics by their official names: means over objects, not over sequences."""
        j = np.mean([_statistics(item.j) for item in self.objects], axis=0)
        f = np.mean([_statistics(item.f) for item in self.objects], axis=0)
        names = ("Mean", "Recall", "Decay")
        return {
            "J&F-Mean": float((j[0] + f[0]) / 2),
            **{f"J-{name}": float(value) for name, value in zip(names, j, strict=True)},
            **{f"F-{name}": float(value) for name, value in zip(names, f, strict=True)},
        }

    def rows(self) -> list[dict[str, Any]]:
        """Each object: ``Sequence``, ``Object``, ``J-Mean``, ``F-Mean``."""
        return [
            {
                "Sequence": item.sequence,
                "Object": item.object,
                "J-Mean": float(item.j.mean()),
                "F-Mean": float(item.f.mean()),
            }
            for item in self.objects
        ]

    def table(self) -> str:
        """The summary and then a row for each object; percentages."""
        summary, rows = self.summary(), self.rows()
        return "\n\n".join(
            [
                text_table(list(summary), [list(summary.values())], left=0),
                text_table(list(rows[0]), [list(row.values()) for row in rows], left=1),
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """The summary and, under ``per_object``, the rows."""
        return {**self.summary(), "per_object": self.rows()}

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)


def evaluate_davis(
    results: str | Path,
    annotations: str | Path,
    *,
    task: Task | str = Task.SEMI_SUPERVISED,
    sequences: Sequence[str] | None = None,
    single_object: bool = False,
    all_frames: bool = False,
) -> DavisReport:
    """Compare folders of PNG label maps, where pixels are object numbers and 0 is background.

    Sequences whose ground truth holds no value but 0 and 255 have one object, as in DAVIS 2016; elsewhere 255
    is void. Objects are the numbers that occur anywhere in the ground truth of a sequence. Frames that the
    ground truth lacks are not judged.

    Args:
        results: a folder with a folder of label maps for each sequence, named as in the ground truth; or,
            when `annotations` is the folder of one sequence, that of the same sequence.
        annotations: the ground truth.
        task: see `Task`.
        sequences: which of the ground truth's are evaluated; all when not given.
        single_object: take all objects of a sequence for one.
        all_frames: judge the first and the last frame in the semi-supervised task too. Officially they are
            left out: the first is given. In the unsupervised task all frames are always judged.

    Raises:
        InputError: a folder, sequence or frame is missing, or a label map does not fit the ground truth.
    """
    task = Task(task)
    all_frames = all_frames or task is Task.UNSUPERVISED
    objects: list[ObjectScores] = []
    for folders in _sequence_folders(Path(results), Path(annotations), sequences):
        objects += _Sequence(*folders, task, single_object, all_frames).evaluate()
    if not objects:
        raise InputError(f"{annotations} has no objects; choose sequences whose label maps are not empty")
    return DavisReport(objects)


def read_names(file: Path) -> list[str]:
    """The sequences that a file of DAVIS's ``ImageSets`` lists: names, or in 2016 files of frames and masks.

    Raises `InputError` when it cannot be read or is empty.
    """
    with reading.explained(str(file)):
        lines = [
            Path(line.split()[0]) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
        if not lines:
            raise ValueError("it names no sequences")
    return list(dict.fromkeys(line.parent.name or line.name for line in lines))


class _Sequence:
    """T frames to be judged, G objects of the ground truth and P of the results."""

    def __init__(self, truth: Path, results: Path, task: Task, single_object: bool, all_frames: bool) -> None:
        self.truth, self.results, self.task = truth, results, task
        names = [file.name for file in _label_maps(truth)]
        self.frames = names if all_frames else names[1:-1]
        if not self.frames:
            raise InputError(
                f"{truth} has only {len(names)} frames, of which the first and the last are not judged; "
                "judge all frames"
            )
        truth_ids = self._ids(truth, names)
        self.void = None if truth_ids == {VOID} else VOID
        self.single = single_object or self.void is None
        found_ids = self._ids(results, self.frames)
        self.truth_ids = sorted({1} if self.single else truth_ids - {VOID})
        self.found_ids = sorted({1} if self.single else found_ids)

    def evaluate(self) -> list[ObjectScores]:
        return self._by_number() if self.task is Task.SEMI_SUPERVISED else self._by_assignment()

    def _by_number(self) -> list[ObjectScores]:
        unknown = sorted(set(self.found_ids) - set(self.truth_ids))
        if unknown:
            raise InputError(
                f"{self.results} has an object {unknown[0]} that the ground truth does not have; give "
                "objects the numbers of the first frame, or evaluate the unsupervised task"
            )
        scores = [
            [(found.jaccard(truth), found.boundary_f(truth)) for truth, found in zip(*shapes, strict=True)]
            for shapes in self._shapes(self.truth_ids, self.truth_ids)
        ]
        return self._scores(np.array(scores).reshape(len(self.frames), len(self.truth_ids), 2))

    def _by_assignment(self) -> list[ObjectScores]:
        if len(self.found_ids) > MAX_PROPOSALS:
            raise InputError(
                f"{self.results} has {len(self.found_ids)} objects but the unsupervised task allows "
                f"{MAX_PROPOSALS} in a sequence; keep the best"
            )
        padding = [-1] * (len(self.truth_ids) - len(self.found_ids))  # objects without a pixel
        scores = np.array(
            [
                [[(p.jaccard(g), p.boundary_f(g)) for g in truth] for p in found]
                for truth, found in self._shapes(self.truth_ids, self.found_ids + padding)
            ]
        )  # (T, P, G, 2)
        chosen, objects = linear_sum_assignment(scores.mean(axis=(0, 3)), maximize=True)
        return self._scores(scores[:, chosen[np.argsort(objects)], np.arange(len(self.truth_ids))])

    def _scores(self, scores: np.ndarray) -> list[ObjectScores]:
        """From J and F ``(T, G, 2)``."""
        return [
            ObjectScores(self.truth.name, number, scores[:, g, 0], scores[:, g, 1])
            for g, number in enumerate(self.truth_ids)
        ]

    def _shapes(
        self, truth_ids: list[int], found_ids: list[int]
    ) -> Iterator[tuple[list[Shape], list[Shape]]]:
        """Of each frame the objects of the ground truth and those of the results, in the order of the ids."""
        for name in self.frames:
            truth, found = _read(self.truth / name), _read(self.results / name)
            if truth.shape != found.shape:
                raise InputError(
                    f"{self.results / name} is {found.shape[1]}x{found.shape[0]} but the ground truth is "
                    f"{truth.shape[1]}x{truth.shape[0]}; write results in the size of the ground truth"
                )
            tolerance = radius(truth.shape)
            truth, found = self._cleaned(truth, found)
            window = _window(truth | found, tolerance + 1)
            yield (
                [Shape((truth[window] == number).view(np.uint8), tolerance) for number in truth_ids],
                [Shape((found[window] == number).view(np.uint8), tolerance) for number in found_ids],
            )

    def _cleaned(self, truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Without what is void, and with one object where there is only one."""
        if self.void is not None:
            void = truth == self.void
            truth = np.where(void, 0, truth)
            if self.task is Task.UNSUPERVISED:  # in the other task, results are judged there as on background
                found = np.where(void, 0, found)
        return ((truth > 0).astype(np.uint8), (found > 0).astype(np.uint8)) if self.single else (truth, found)

    def _ids(self, folder: Path, names: list[str]) -> set[int]:
        maps = (_read(folder / name) for name in names)
        return {
            number for labels in maps for number in np.flatnonzero(np.bincount(labels.ravel())).tolist()
        } - {0}


def _statistics(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, recall and decay of J or F over the frames ``(T,)`` of an object (official ``db_statistics``)."""
    bounds = np.round(np.linspace(1, len(values), _QUARTERS + 1) + 1e-10).astype(int) - 1
    first, last = values[bounds[0] : bounds[1] + 1], values[bounds[-2] : bounds[-1] + 1]
    return values.mean(), (values > _RECALL_AT).mean(), first.mean() - last.mean()


def _sequence_folders(
    results: Path, annotations: Path, sequences: Sequence[str] | None
) -> list[tuple[Path, Path]]:
    """Of each sequence the folder of the ground truth and that of the results."""
    for folder in (results, annotations):
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder; give the one that holds the label maps")
    if sequences is None and _label_maps(annotations):
        return [(annotations, results)]
    names = sorted(folder.name for folder in annotations.iterdir() if folder.is_dir() and _label_maps(folder))
    if not names:
        raise InputError(
            f"{annotations} holds no folders of PNG label maps; give the folder of the sequences, for "
            "example Annotations/480p"
        )
    for name in sequences or ():
        if name not in names:
            raise InputError(
                f"{annotations} has no label maps of a sequence '{name}'; choose among its folders"
            )
    return [(annotations / name, results / name) for name in sequences or names]


def _label_maps(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.png"))


def _read(file: Path) -> np.ndarray:
    with reading.explained(str(file)):
        return read_labels(file)


def _window(foreground: np.ndarray, rim: int) -> tuple[slice, slice]:
    """The part of the frame that holds all foreground, and `rim` pixels more where there are any."""
    rows, columns = (np.flatnonzero(foreground.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return tuple(slice(max(line[0] - rim, 0), line[-1] + rim + 1) for line in (rows, columns))
