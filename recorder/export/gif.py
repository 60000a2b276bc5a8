"""GIF: a picture a step, for places that play no video.

GIF counts time in hundredths of a second, and players slow down what is shorter than two: a
rate above 50 pictures a second is written as 50 with some of the pictures left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from recorder.export import Options, Written, pictures
from recorder.export.values import Array, write_manifest
from recorder.selection import Selection

if TYPE_CHECKING:
    from recorder.run import Run

FASTEST = 50.0
_COLOURS = 256


def is_directory(options: Options) -> bool:
    """A directory where each episode is a file."""
    return options.each


def check(run: Run, out: Path, options: Options) -> None:
    """See `recorder.export.Format`."""
    pictures.check(run)


def write(run: Run, selection: Selection, out: Path, options: Options, result: Written) -> None:
    """See `recorder.export.Format`."""
    if options.each:
        write_manifest(out, run, "gif")
    pictures.write_videos(run, selection, out, options, result, ".gif", Animation)


class Animation:
    """A file under way, written frame by frame.

    Args:
        path: of the file.
        rate: pictures a second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._rate = rate
        self._file: Any = path.open("wb")
        self._first: Any = None
        self._at = 0.0
        self._shown = -1

    def add(self, picture: Array) -> None:
        """Add one, `(H, W, 3)` uint8."""
        from PIL import Image

        tick = int(self._at * min(self._rate, FASTEST) / self._rate)
        self._at += 1
        if tick == self._shown:
            return
        self._shown = tick
        if self._first is None:
            self._first = picture
        picture = pictures.same_size(self._first, picture)
        image: Any = Image.fromarray(picture)
        image = image.quantize(_COLOURS, dither=Image.Dither.NONE)
        self._write(image)

    def _write(self, image: Any) -> None:
        from PIL import GifImagePlugin

        hundredths = max(2, round(100 / min(self._rate, FASTEST)))
        if self._shown == 0:
            head, _ = GifImagePlugin.getheader(image, info={"loop": 0, "duration": hundredths * 10})
            for part in head:
                self._file.write(part)
        for part in GifImagePlugin.getdata(
            image, duration=hundredths * 10, include_color_table=True
        ):
            self._file.write(part)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._first is not None:
            self._file.write(b"\x3b")
        self._file.close()
