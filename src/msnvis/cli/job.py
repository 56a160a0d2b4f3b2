"""What `msnvis run` does with each input: read, segment, write, report."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from msnvis.cli.interrupt import PoliteInterrupt
from msnvis.cli.messages import say_warning
from msnvis.cli.progress import ProgressDisplay
from msnvis.errors import OutputError

if TYPE_CHECKING:
    from msnvis.io.source import FrameSource
    from msnvis.pipeline import ProgressEvent, VideoInstanceSegmenter
    from msnvis.store.folder import WorkFolder
    from msnvis.structures import VideoInstances


@dataclass
class Job:
    """Processes inputs one after the other with the same parts.

    Attributes:
        segmenter: the three stages.
        window: start, end, stride and max_side of `open_source`.
        output: folder for the results.
        formats: names of what is written.
        own_folders: whether each input gets a folder of its own in `output`.
        restart: drop what an interrupted run has left, instead of going on with it.
        keep_intermediate: leave intermediate results after success.
    """

    segmenter: VideoInstanceSegmenter
    window: dict[str, object]
    output: Path
    formats: Sequence[str]
    own_folders: bool
    restart: bool = False
    keep_intermediate: bool = False
    _taken: set[str] = field(default_factory=set)

    def process(self, address: str) -> None:
        """Process one input, or go on with it where an interrupted run stopped.

        Raises `MsnvisError` where it fails, and `KeyboardInterrupt` after Ctrl-C, when what was done until
        then is written.
        """
        from msnvis.io.readers import open_source

        source = open_source(address, **self.window)
        folder = self.output / self._free_name(source.name) if self.own_folders else self.output
        self._check_not_replaced(address, folder)
        from msnvis.io.recording import Recording
        from msnvis.store.folder import WorkFolder

        with _writable(folder), WorkFolder(folder, restart=self.restart, keep=self.keep_intermediate) as work:
            self._process(Recording(source, work.path / "live.mp4") if source.live else source, folder, work)

    def _process(self, source: FrameSource, folder: Path, work: WorkFolder) -> None:
        from msnvis.io.recording import Recording
        from msnvis.io.writers import write_results
        from msnvis.store.run_record import write_run_record

        with self._display(source) as display:
            with PoliteInterrupt(source.stop) as interrupt:

                def progress(event: ProgressEvent) -> None:
                    display(event)
                    if event.stage != "merge":
                        interrupt.check()

                began = time.perf_counter()
                instances = self.segmenter.run(source, progress=progress, work=work)
                seconds = time.perf_counter() - began
            for warning in source.warnings:
                say_warning(warning)
            written = []
            if instances.num_frames:
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
        if written:
            _report(instances, seconds, folder, written)
        if self.segmenter.interrupted and work.has_checkpoint:
            say_warning(f"the same command goes on with {source.name}; with --restart it begins anew")
        if not self.segmenter.interrupted:
            work.finish()
        if self.segmenter.interrupted or interrupt.pending:
            raise KeyboardInterrupt

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

    def _free_name(self, name: str) -> str:
        """`name`, with a number where an earlier input has it already, in upper or lower case."""
        free, number = name, 1
        while free.casefold() in self._taken:
            number += 1
            free = f"{name}-{number}"
        self._taken.add(free.casefold())
        return free


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
        console.print(f"no objects were found in {instances.name}", markup=False)
    frames = instances.num_frames
    console.print(f"{frames} frames in {seconds:.1f} s: {frames / seconds:.2f} frames a second", markup=False)
    console.print(f"{folder}: {', '.join(path.name for path in written)}", markup=False)


def _track_table(instances: VideoInstances) -> Table:
    table = Table(
        "id", "class", "score", "frames", "from", "to", title=escape(instances.name), title_justify="left"
    )
    for track in instances.tracks:
        first, last = (instances.timestamps[index] for index in (min(track.rles), max(track.rles)))
        table.add_row(
            str(track.id),
            escape(instances.class_name(track)),
            f"{track.score:.2f}",
            str(len(track.rles)),
            f"{first:.2f} s",
            f"{last:.2f} s",
        )
    return table
