"""A live source that can be seen again: what it gave is kept in a video file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msnvis.io.overlay import OverlayVideo
from msnvis.io.readers import open_source
from msnvis.io.source import Frame, FrameSource


class Recording(FrameSource):
    """Gives the frames of `source`, a live one, and records them on the way.

    Args:
        source: a camera or address.
        path: of the mp4 file to record to; the caller removes it.

    >>> recording = Recording(open_source(0), Path("camera.mp4"))  # doctest: +SKIP
    >>> instances = VideoInstanceSegmenter().run(recording)  # doctest: +SKIP
    >>> write_results(instances, recording.replay(), Path("out"), ["overlay"])  # doctest: +SKIP
    """

    def __init__(self, source: FrameSource, path: Path) -> None:
        super().__init__(source.name, live=True)
        self.size, self.source_size, self.fps = source.size, source.source_size, source.fps
        self.warnings = source.warnings
        self._source = source
        self._path = path
        self._frames = self._record()

    def frames(self) -> Iterator[Frame]:
        return self._frames

    def stop(self) -> None:
        self._source.stop()

    def replay(self) -> FrameSource:
        """What was recorded, as a source that can be read as often as wanted; ends the recording.

        The pictures have gone through video compression, which matters little for an overlay.

        Raises `InputError` where nothing was recorded.
        """
        self._frames.close()
        source = open_source(self._path)
        source.name, source.source_size = self.name, self.source_size
        return source

    def _record(self) -> Iterator[Frame]:
        is_interrupted = False
        with OverlayVideo(self._path, self.fps) as video:
            try:
                for frame in self._source.frames():
                    video.write(frame.image, frame.timestamp)
                    yield frame
            except GeneratorExit:
                return  # the reader has had enough: finish the file
            except KeyboardInterrupt:
                is_interrupted = True  # likewise, but the reader does not know yet
        if is_interrupted:
            raise KeyboardInterrupt
