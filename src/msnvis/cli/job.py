"""What `msnvis run` does with each video: read, segment, write, report."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from msnvis.cli.interrupt import PoliteInterrupt
from msnvis.cli.messages import error_sentence, say_warning
from msnvis.cli.progress import ProgressDisplay
from msnvis.engines.outcome import Outcome, PieceTask, Split, VideoTask
from msnvis.errors import MsnvisError, OptionError, OutputError
from msnvis.terminal import neutral

if TYPE_CHECKING:
    from msnvis.io.source import FrameSource
    from msnvis.pieces import VideoPieces
    from msnvis.pipeline import ProgressEvent, VideoInstanceSegmenter
    from msnvis.store.folder import WorkFolder
    from msnvis.structures import VideoInstances


@dataclass
class Job:
    """Processes videos one after the other with the same parts.

    Attributes:
        segmenter: the three stages.
        window: start, end, stride and max_side of `open_source`.
        formats: names of what is written.
        keep_intermediate: leave intermediate results after success.
        quiet: show neither progress nor results, as on another machine nobody would see them.
        debug: let errors through.
        piece_frames: split a video that is more than twice as long into pieces of at least so many frames;
            None splits none.
    """

    segmenter: VideoInstanceSegmenter
    window: dict[str, object]
    formats: Sequence[str]
    keep_intermediate: bool = False
    quiet: bool = False
    debug: bool = False
    piece_frames: int | None = None

    def __call__(self, task: VideoTask | PieceTask) -> Outcome | Split:
        """Process a video or a piece, or go on with it where an interrupted run stopped; tell how that ended.

        Raises `KeyboardInterrupt` after Ctrl-C, when what was done until then is written.
        """
        began = time.perf_counter()
        video, process = (
            (task.video, self._process_piece) if isinstance(task, PieceTask) else (task, self._process)
        )
        try:
            outcome = process(task)
        except Exception as error:
            if self.debug:
                raise
            ours, why = not isinstance(error, MsnvisError), error_sentence(error)
            outcome = Outcome(video.address, str(video.folder), "failed", why, is_ours=ours)
        return replace(outcome, seconds=time.perf_counter() - began)

    def _process(self, task: VideoTask) -> Outcome | Split:
        from msnvis.io.readers import open_source
        from msnvis.io.recording import Recording
        from msnvis.store.folder import WorkFolder

        source, folder = open_source(task.address, **self.window), task.folder
        if source.live and self.quiet:
            raise OptionError(f"{task.address} is live, and only the engine local can be told to stop")
        if task.is_one_of_many and not task.restart and self._is_done(source, folder):
            return Outcome(task.address, str(folder), "skipped")
        self._check_not_replaced(task.address, folder)
        with _writable(folder):
            pieces = self._pieces(source, task)
            if pieces and (missing := pieces.missing):
                return Split(tuple(PieceTask(task, number) for number in missing))
            with WorkFolder(folder, keep=self.keep_intermediate) as work:
                if source.live:
                    source = Recording(source, work.path / "live.mp4")
                frames, tracks = self._segment(source, folder, work, pieces)
        warnings = tuple(source.warnings)
        return Outcome(task.address, str(folder), "done", frames=frames, tracks=tracks, warnings=warnings)

    def _pieces(self, source: FrameSource, task: VideoTask) -> VideoPieces | None:
        """The pieces to process the video in; None where it is processed as a whole."""
        from msnvis.pieces import VideoPieces
        from msnvis.store.folder import WorkFolder

        pieces = VideoPieces(self.segmenter, source, task.folder)
        if task.restart:
            with WorkFolder(task.folder) as work:
                work.finish()
        is_begun = WorkFolder(task.folder).has_checkpoint
        if task.restart or is_begun or not pieces.exist:
            pieces.drop()
        if pieces.exist and self.piece_frames is None:
            raise OptionError(
                f"{task.folder} holds pieces of {source.label} that an interrupted run with --engine ray has "
                "left; go on with --engine ray, or drop them with --restart"
            )
        if pieces.exist or (self._is_long(source) and not is_begun):
            pieces.plan(self.piece_frames)
        return pieces if pieces.exist else None

    def _is_long(self, source: FrameSource) -> bool:
        """Whether it is worth while to look for cuts between which the video can be split."""
        if self.piece_frames is None or source.live or not self.segmenter.shots:
            return False
        return (source.num_frames or 0) > 2 * self.piece_frames

    def _process_piece(self, task: PieceTask) -> Outcome:
        from msnvis.io.readers import open_source
        from msnvis.pieces import VideoPieces

        video = task.video
        source = open_source(video.address, **self.window)
        piece = VideoPieces(self.segmenter, source, video.folder)[task.number]
        piece.process()
        return Outcome(video.address, str(video.folder), "done", frames=piece.source.num_frames)

    def _is_done(self, source: FrameSource, folder: Path) -> bool:
        """Whether all results are in `folder` that this job would write there."""
        from msnvis.io.writers import formats
        from msnvis.pieces import VideoPieces
        from msnvis.store.folder import WorkFolder
        from msnvis.store.run_record import is_record_of

        results = [folder / formats.create(name).filename for name in self.formats]
        is_begun = WorkFolder(folder).has_checkpoint or VideoPieces(self.segmenter, source, folder).exist
        if is_begun or not all(result.exists() for result in results):
            return False
        fingerprint = self.segmenter.fingerprint(source)
        return is_record_of(folder, fingerprint, [result.name for result in results])

    def _segment(
        self, source: FrameSource, folder: Path, work: WorkFolder, pieces: VideoPieces | None
    ) -> tuple[int, int]:
        """Make the results; gives how many frames and tracks there are."""
        from msnvis.io.recording import Recording
        from msnvis.io.writers import write_results
        from msnvis.store.run_record import write_run_record

        with nullcontext() if self.quiet else self._display(source) as display:
            with PoliteInterrupt(source.stop) as interrupt:

                def progress(event: ProgressEvent) -> None:
                    if display:
                        display(event)
                    if event.stage != "merge":
                        interrupt.check()

                began = time.perf_counter()
                instances = self.segmenter.run(source, progress=progress, work=work, pieces=pieces)
                seconds = time.perf_counter() - began
            for warning in () if self.quiet else source.warnings:
                say_warning(warning)
            written = []
            if instances.num_frames:
                if display:
                    display.writing()
                readable = source.replay() if isinstance(source, Recording) else source
                with self.segmenter.timings.measure("write"):
                    written = write_results(instances, readable, folder, self.formats)
                write_run_record(
                    folder,
                    instances,
                    fingerprint=self.segmenter.fingerprint(source),
                    timings=self.segmenter.timings,
                    written=written,
                    interruptions=self.segmenter.interruptions,
                    complete=not self.segmenter.interrupted,
                )
        if written and not self.quiet:
            _report(instances, seconds, folder, written)
        if self.segmenter.interrupted and work.has_checkpoint:
            say_warning(f"the same command goes on with {source.name}; with --restart it begins anew")
        if not self.segmenter.interrupted:
            work.finish()
        if self.segmenter.interrupted or interrupt.pending:
            raise KeyboardInterrupt
        return instances.num_frames, len(instances.tracks)

    def _display(self, source: FrameSource) -> ProgressDisplay:
        one_way = source.live or self.segmenter.direction == "forward"
        return ProgressDisplay(source.name, sweeps=1 if one_way else 2)

    def _check_not_replaced(self, address: str, folder: Path) -> None:
        """Raise `OutputError` where a result in `folder` would take the place of the input itself."""
        from msnvis.io.writers import formats

        results = [folder / formats.create(name).filename for name in self.formats]
        if any(result.exists() and Path(address).exists() and result.samefile(address) for result in results):
            raise OutputError(
                f"{address} would be replaced by its own results; choose another folder with --output"
            )


def make_job(
    options: Mapping[str, object],
    preset: str | None,
    window: Mapping[str, object],
    formats: Sequence[str],
    **more: bool | int,
) -> Job:
    """A `Job`, with the parts loaded.

    Args:
        options: of `VideoInstanceSegmenter`.
        preset: that they come from, for errors.
        window, formats, more: see `Job`.
    """
    from msnvis.pipeline import VideoInstanceSegmenter
    from msnvis.presets import naming_preset

    with naming_preset(preset):
        parts = VideoInstanceSegmenter(**options)
    return Job(parts, dict(window), formats, **more)


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Make `folder`, and remove it where nothing was put into it.

    Raises `OutputError` now, not after the work, where it cannot be written to.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OutputError(
            f"results cannot be written to {folder} ({error.strerror}); choose another folder with --output"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # where it holds something
            for path in made:
                path.rmdir()


def _report(instances: VideoInstances, seconds: float, folder: Path, written: Sequence[Path]) -> None:
    """The tracks, the speed and where the results are, on stdout."""
    console = Console(highlight=False, soft_wrap=True)
    if instances.tracks:
        console.print(_track_table(instances))
    else:
        console.print(f"no objects were found in {neutral(instances.name)}", markup=False)
    frames = instances.num_frames
    console.print(f"{frames} frames in {seconds:.1f} s: {frames / seconds:.2f} frames a second", markup=False)
    console.print(neutral(f"{folder}: {', '.join(path.name for path in written)}"), markup=False)


def _track_table(instances: VideoInstances) -> Table:
    title = escape(neutral(instances.name))
    table = Table("id", "class", "score", "frames", "from", "to", title=title, title_justify="left")
    for track in instances.tracks:
        first, last = (instances.timestamps[index] for index in (min(track.rles), max(track.rles)))
        table.add_row(
            str(track.id),
            escape(neutral(instances.class_name(track))),
            f"{track.score:.2f}",
            str(len(track.rles)),
            f"{first:.2f} s",
            f"{last:.2f} s",
        )
    return table
