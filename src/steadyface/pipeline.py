"""Video to tracks: the only place where the stages meet."""

from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .align.alignment import Alignment
from .align.transfer import IdentityExchange
from .errors import InputError, NoFaceError
from .filter import FilterSettings
from .image import check_image
from .live import LiveSettings, LiveTracker
from .rotation import matrix_from_axis_angle
from .track import Track
from .video import read_video, write_video

#: What each quality does, best last.
QUALITIES = {"live": "detector, alignment network and causal filter, in real time"}
#: A face seen for less time, in a video where others are seen longer, is taken for a mistake.
SHORTEST_S = 0.4
#: Identity coefficients that differ by no more than this are the same face.
SAME_IDENTITY = 0.01

Progress = Callable[[int, "int | None"], None]
Note = Callable[[str], None]


def track(
    video,
    quality="live",
    *,
    max_faces=4,
    progress: Progress | None = None,
    note: Note | None = None,
    filter: FilterSettings | None = FilterSettings(),  # noqa: B008 - frozen
    threads=1,
    tracker: LiveTracker | None = None,
):
    """Follow the faces of a video: list of `Track`, the longest first.

    video: path; quality: a key of `QUALITIES`; max_faces: most faces followed at once; progress: called
    after each frame with the frames done and the frames promised (None if unknown); note: called with a
    sentence where the result is less than asked for (a video that ends early, an interruption), by default
    a UserWarning; filter: settings of the causal filter, None for the network's own poses and expressions;
    threads: of the network; tracker: a `LiveTracker` to use instead of one made from these arguments.

    Ctrl-C ends the work early and keeps what was done. Raises VideoError if the video cannot be read,
    NoFaceError if no face is found in it, InputError for unknown qualities.
    """
    if quality not in QUALITIES:
        raise InputError(f"unknown quality {quality!r}: known are {', '.join(QUALITIES)}")
    note = note or _warn
    with read_video(video) as reader:
        if tracker is None:
            settings = LiveSettings(filter=filter or FilterSettings(noise=0.0))
            tracker = LiveTracker(max_faces=max_faces, threads=threads, settings=settings)
        records: dict[int, _Record] = {}
        count = 0
        with tracker:
            try:
                for frame in reader:
                    for face in tracker(frame.image, frame.time_s):
                        if face.face_id not in records:
                            records[face.face_id] = _Record()
                        records[face.face_id].append(frame.index, face)
                    count += 1
                    if progress:
                        progress(count, reader.info.frames)
            except KeyboardInterrupt:
                note(f"interrupted after {count} frames: kept what was done")
        if reader.shortfall:
            note(reader.shortfall)
        if not records:
            raise NoFaceError(f"no face found in {Path(video).name}: looked at {count} frames")
        tracks = [r.track(reader.info.size, reader.info.fps, tracker.model) for r in records.values()]
    tracks.sort(key=len, reverse=True)
    return [t for t in tracks if t is tracks[0] or t.time_s[-1] - t.time_s[0] >= SHORTEST_S]


def align(image, *, max_faces=8, threads=1, tracker: LiveTracker | None = None):
    """The faces of a still image: list of one-frame `Track`, the surest detection first, empty if none.

    image: (H, W, 3) uint8 RGB. Raises InputError for other images.
    """
    image = check_image(image)
    with tracker or LiveTracker(max_faces=max_faces, threads=threads) as live:
        faces = live(image, 0.0)
    tracks = []
    for face in faces:
        record = _Record()
        record.append(0, face)
        tracks.append(record.track(image.shape[1::-1], 1.0, face.model))
    return tracks


def overlay(video, tracks, path, *, progress: Progress | None = None):
    """Write a video again with its tracked faces drawn on it.

    video: path; tracks: list of `Track` of that video; path: of the new video; progress: as in `track`.
    Ctrl-C ends the work early and keeps what was drawn. Raises VideoError if the video cannot be read,
    OutputError if the new one cannot be written.
    """
    rows = [{int(index): row for row, index in enumerate(t.frame_index)} for t in tracks]
    with read_video(video) as reader, write_video(path, reader.info.size, reader.info.fps) as write:
        try:
            for frame in reader:
                image = frame.image
                for face_id, (t, row_of) in enumerate(zip(tracks, rows, strict=True)):
                    if frame.index in row_of:
                        _draw(image, t, row_of[frame.index], face_id)
                write(image, frame.time_s)
                if progress:
                    progress(frame.index + 1, reader.info.frames)
        except KeyboardInterrupt:
            return


def _draw(image, track, row, face_id):
    from .render.overlay import draw_overlay

    scale = float(track.scale[row])
    draw_overlay(
        image,
        track.image_points(track.model.shape, row),
        track.model.triangles,
        track.landmarks("ibug68", row),
        matrix_from_axis_angle(track.rotation[row]),
        scale * track.translation[row, :2] + track.center,
        scale,
        face_id,
        float(track.confidence[row]),
    )


class _Record:
    """One face as it is followed: a few hundred numbers a frame in flat float32 arrays."""

    def __init__(self):
        self._index = array("q")
        self._time_s = array("d")
        self._numbers = array("f")

    def append(self, index, face):
        a = face.alignment
        self._index.append(index)
        self._time_s.append(face.time_s)
        row = np.concatenate(
            [a.rotation, a.translation, [a.scale, a.confidence], a.landmark_sigma, a.expression, a.identity]
        )
        self._numbers.frombytes(row.astype(np.float32).tobytes())

    def track(self, image_size, fps, model):
        rows = np.frombuffer(self._numbers, np.float32).reshape(len(self._index), -1).copy()
        exchange = IdentityExchange(model.landmarks("ibug68"))
        widths = [3, 2, 1, 1, 68, model.expression_count, model.identity_count]
        rotation, translation, scale, confidence, sigma, expression, identity = np.split(
            rows, np.cumsum(widths)[:-1], axis=1
        )
        # The filter's mean identity of all frames is the last one: earlier frames are brought to it.
        final = identity[-1].astype(float)
        for i in np.flatnonzero(np.abs(identity - identity[-1]).max(1) > SAME_IDENTITY):
            numbers = (rotation[i], float(scale[i, 0]), translation[i], identity[i], expression[i], sigma[i])
            a = exchange(Alignment(*numbers, float(confidence[i, 0])), final)
            rotation[i], scale[i], translation[i], expression[i] = (
                a.rotation,
                a.scale,
                a.translation,
                a.expression,
            )
        return Track.from_image_pose(
            frame_index=np.array(self._index, np.int64),
            time_s=np.array(self._time_s),
            rotation=rotation,
            translation=translation,
            scale=scale[:, 0],
            identity=identity[-1].copy(),
            expression=expression,
            sigma=sigma,
            confidence=confidence[:, 0],
            image_size=tuple(image_size),
            fps=fps,
            model=model,
        )


def _warn(sentence):
    import warnings

    warnings.warn(sentence, stacklevel=3)
