"""Videos: streaming decode with true timestamps and rotation metadata, and streaming encode."""

from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from .errors import OutputError, VideoError
from .output import replacing

# PyAV is imported where it is used: it alone takes a fifth of the import time that is allowed.


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before it is decoded.

    size: (width, height) px as displayed, rotation metadata applied; fps: mean frames a second; frames:
    count that the container promises, None if it does not say.
    """

    path: Path
    size: tuple[int, int]
    fps: float
    frames: int | None
    codec: str


@dataclass(frozen=True)
class VideoFrame:
    """A decoded frame: index in the order shown, seconds since the first frame, RGB (H, W, 3) uint8."""

    index: int
    time_s: float
    image: np.ndarray


class VideoReader:
    """Iterator over the frames of a video file, in constant memory; close it or use it in a `with`.

    info: `VideoInfo`. frame_count: frames given so far. shortfall: after the last frame, None or a
    sentence that says how many of the promised frames could be decoded.
    """

    def __init__(self, path):
        """Open a file and decode its first frame.

        Raises VideoError if the file is missing, empty, not a video, has no video stream or no frame.
        """
        import av
        from av.error import FFmpegError

        self.path = Path(path)
        if not self.path.is_file():
            what = "is a folder" if self.path.is_dir() else "does not exist"
            raise VideoError(f"cannot read {self.path}: it {what}")
        try:
            empty = self.path.stat().st_size == 0
            if not empty:
                self._container = av.open(str(self.path))
        except (FFmpegError, OSError) as e:
            reason = "permission denied" if isinstance(e, PermissionError) else "it is not a video"
            raise VideoError(f"cannot read {self.path}: {reason}") from e
        if empty:
            raise VideoError(f"cannot read {self.path}: the file is empty")
        try:
            self._open_stream(av)
        except BaseException:
            self.close()
            raise

    def _open_stream(self, av):
        # FFmpeg plays plain text files as a scrolling terminal.
        if self._container.format.name == "tty":
            raise VideoError(f"cannot read {self.path}: it is not a video")
        streams = [s for s in self._container.streams.video if "attached_pic" not in str(s.disposition)]
        if not streams:
            raise VideoError(f"cannot read {self.path}: it has no video stream")
        self._stream = streams[0]
        self._stream.thread_type = "AUTO"
        self.frame_count = 0
        self.shortfall = None
        self._first_pts = None
        self._size = None
        self._damaged = 0
        self._decoded = self._decode(av)
        self._next = self._read()
        if self._next is None:
            raise VideoError(f"cannot read {self.path}: no frame of its video stream can be decoded")
        rate = self._stream.average_rate or self._stream.guessed_rate or 25
        height, width = self._next.image.shape[:2]
        self.info = VideoInfo(
            self.path,
            (width, height),
            float(rate),
            self._promised or None,
            self._stream.codec_context.name,
        )

    def _decode(self, av):
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                yield from packet.decode()
            except av.error.EOFError:
                return
            except av.FFmpegError:
                # A damaged packet costs its own frames, a damaged container all that follow.
                self._damaged += 1
                if self._damaged > 1000:
                    return

    def _read(self):
        frame = next(self._decoded, None)
        if frame is None:
            return None
        if self._size is None:
            self._size = frame.width, frame.height
            self._first_pts = frame.pts
            # Asked once: a frame whose side data was read is freed only by the garbage collector.
            self._matrix = _display_matrix(frame)
        # A stream that changes its size midway is brought back to the size it began with.
        image = frame.to_ndarray(format="rgb24", width=self._size[0], height=self._size[1])
        image = _displayed(image, self._matrix)
        index = self.frame_count
        self.frame_count += 1
        if frame.pts is None or self._first_pts is None or frame.time_base is None:
            time_s = index / float(self._stream.average_rate or 25)
        else:
            time_s = float((frame.pts - self._first_pts) * frame.time_base)
        return VideoFrame(index, time_s, image)

    def __iter__(self):
        return self

    def __next__(self):
        frame = self._next
        if frame is None:
            raise StopIteration
        self._next = self._read()
        if self._next is None:
            self._note_shortfall()
        return frame

    @property
    def _promised(self):
        return self._stream.frames

    def _note_shortfall(self):
        promised = self._promised
        # Edit lists and dropped B-frames make honest containers promise a frame or two too many.
        if promised and self.frame_count < promised - max(2, promised // 100):
            self.shortfall = (
                f"{self.path.name} ends early: {self.frame_count} of the {promised} frames that it promises "
                "could be decoded"
            )
        elif self._damaged:
            self.shortfall = (
                f"{self.path.name} is damaged: {self.frame_count} frames could be decoded, "
                f"{self._damaged} packets could not"
            )

    def close(self):
        """Close the file; no more frames come."""
        self._next = None
        self._container.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def read_video(path):
    """Frames of a video file, one at a time: a `VideoReader`.

    Raises VideoError if the file is missing, empty, not a video, has no video stream or no frame.
    """
    return VideoReader(path)


def read_image(path):
    """RGB uint8 (H, W, 3) pixels of an image file (or of a video's first frame).

    Raises VideoError if the file is missing, empty or not an image.
    """
    with VideoReader(path) as reader:
        return next(reader).image


def _display_matrix(frame):
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return np.frombuffer(bytes(data), np.int32).reshape(3, 3)[:2, :2]
    return None


def _displayed(image, matrix):
    """The image as it is to be shown: FFmpeg's matrix [[a, b], [c, d]] maps (x, y) to (ax + cy, bx + dy)."""
    if matrix is None:
        return image
    (a, b), (c, d) = matrix.astype(float)
    if abs(b) + abs(c) > abs(a) + abs(d):
        image = image.transpose(1, 0, 2)
        a, d = c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


#: Ticks a second of written videos: 24, 25, 29.97, 30, 50 and 60 frames a second are whole numbers of them.
TICKS_PER_SECOND = 30000


@contextmanager
def write_video(path, size, fps, crf=20, reproducible=False):
    """Context that yields `write(image, time_s)`, which appends a frame shown from `time_s` seconds on.

    path: its suffix chooses the container; size: (width, height) px of every image, odd sizes too; fps:
    nominal rate; crf: quality, 0 (best) to 51, 6 more halve the file; reproducible: the same frames always
    give the same file, more slowly. H.264 where PyAV carries an encoder for it, else MPEG-4. The file appears
    when the block ends, whole, and not at all if it raises. Raises OutputError if it cannot be written.
    """
    import av

    path = Path(path)
    with replacing(path) as temporary:
        try:
            container = av.open(str(temporary), "w")
        except ValueError as e:
            raise OutputError(
                f"cannot write {path}: no video container has the suffix {path.suffix!r}"
            ) from e
        try:
            stream = _video_stream(container, size, fps, crf, reproducible)
            last_tick = -1

            def write(image, time_s):
                nonlocal last_tick
                last_tick = max(last_tick + 1, round(time_s * TICKS_PER_SECOND))
                frame = av.VideoFrame.from_ndarray(_even(image, size), format="rgb24")
                frame.pts = last_tick
                frame.time_base = Fraction(1, TICKS_PER_SECOND)
                container.mux(stream.encode(frame))

            yield write
            container.mux(stream.encode(None))
        finally:
            container.close()


def _video_stream(container, size, fps, crf, reproducible):
    import av
    from av.video.stream import VideoStream

    encoder = next(c for c in ("libx264", "libopenh264", "mpeg4") if c in av.codecs_available)
    stream = container.add_stream(encoder, rate=Fraction(fps).limit_denominator(1001))
    assert isinstance(stream, VideoStream)
    stream.pix_fmt = "yuv420p"
    stream.width, stream.height = (n + n % 2 for n in size)
    stream.codec_context.time_base = Fraction(1, TICKS_PER_SECOND)
    if reproducible:
        # More threads would cut the frames into other pieces.
        stream.thread_count = 1
    if encoder == "libx264":
        options: dict = {"crf": str(crf), "preset": "veryfast"}
        if reproducible:
            # x264's guesses about frames to come differ from run to run, even with one thread.
            options |= {"tune": "zerolatency", "x264-params": "weightp=0:scenecut=0"}
        stream.options = options
    else:
        # These encoders know bits and no quality: as many as x264 takes on ordinary pictures.
        stream.bit_rate = int(0.2 * 2 ** ((20 - crf) / 6) * size[0] * size[1] * fps)
    return stream


def _even(image, size):
    width, height = size
    assert image.shape == (height, width, 3), (image.shape, size)
    if width % 2 == 0 and height % 2 == 0:
        return image
    # 4:2:0 colour needs even sizes: the last row or column is shown twice.
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
