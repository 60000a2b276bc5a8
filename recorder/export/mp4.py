"""MP4: a picture a step, H.264, that any player plays."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from recorder.export import Options, Written, pictures
from recorder.export.values import Array, need, write_manifest
from recorder.selection import Selection

if TYPE_CHECKING:
    from recorder.run import Run


def is_directory(options: Options) -> bool:
    """A directory where each episode is a file."""
    return options.each


def check(run: Run, out: Path, options: Options) -> None:
    """See `recorder.export.Format`."""
    need("av", "video")
    pictures.check(run)


def write(run: Run, selection: Selection, out: Path, options: Options, result: Written) -> None:
    """See `recorder.export.Format`."""
    if options.each:
        write_manifest(out, run, "mp4")
    pictures.write_videos(run, selection, out, options, result, ".mp4", Video)


class Video:
    """A file under way.

    Args:
        path: of the file.
        rate: pictures a second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        import av

        self._av = av
        self._rate = Fraction(rate).limit_denominator(1000)
        # Its name does not end in mp4 while it is under way, so the kind is told.
        self._file: Any = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        self._stream: Any = None
        self._first: Any = None

    def add(self, picture: Array) -> None:
        """Add one, `(H, W, 3)` uint8."""
        if self._stream is None:
            self._first = picture
            self._stream = self._file.add_stream("libx264", rate=self._rate)
            self._stream.height, self._stream.width = picture.shape[:2]
            self._stream.pix_fmt = "yuv420p"
            self._stream.options = {"crf": "20", "preset": "veryfast"}
        picture = pictures.same_size(self._first, picture)
        frame = self._av.VideoFrame.from_ndarray(picture, format="rgb24")
        for packet in self._stream.encode(frame):
            self._file.mux(packet)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._stream is not None:
                for packet in self._stream.encode():
                    self._file.mux(packet)
        finally:
            if self._stream is not None or kind is not None:
                self._close(kind is not None)

    def _close(self, failed: bool) -> None:
        try:
            self._file.close()
        except Exception:
            if not failed:
                raise
