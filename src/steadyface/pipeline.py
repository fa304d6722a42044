"""Video to tracks: the only place where the stages meet."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from .align.dense_points import DensePoints
from .align.methods import DEFAULT, check_method
from .errors import InputError, NoFaceError
from .filter import FilterSettings
from .image import check_image
from .live import LiveSettings, LiveTracker
from .record import DenseRecord, LiveRecord
from .refine.appearance import Surface
from .rotation import matrix_from_axis_angle
from .standard import StandardSettings, fit_track
from .studio import StudioSettings, TextureStudy
from .track import Track
from .video import read_video, write_video

#: What each quality does, best last.
QUALITIES = {
    "live": "detector, alignment network and causal filter, in real time",
    "standard": "live, then a fit of one face, one camera and a smooth motion to dense points of all frames",
    "studio": "standard, then every frame again, against the face's own texture, learned from the video",
}
#: A face seen for less time, in a video where others are seen longer, is taken for a mistake.
SHORTEST_S = 0.4

Progress = Callable[[int, "int | None"], None]
Stage = Callable[[str], None]
Note = Callable[[str], None]


def track(
    video,
    quality="standard",
    *,
    method=DEFAULT,
    max_faces=4,
    progress: Progress | None = None,
    stage: Stage | None = None,
    note: Note | None = None,
    filter: FilterSettings | None = FilterSettings(),  # noqa: B008 - frozen
    threads=1,
    tracker: LiveTracker | None = None,
    aligner=None,
    settings: StandardSettings = StandardSettings(),  # noqa: B008 - frozen
    studio: StudioSettings = StudioSettings(),  # noqa: B008 - frozen
):
    """Follow the faces of a video: list of `Track`, the longest first.

    video: path; quality: a key of `QUALITIES`; method: a key of `ALIGNMENT_METHODS`, whose network follows
    the faces from frame to frame, whatever the quality; max_faces: most faces followed at once; progress:
    called after each frame with the frames done and the frames promised (None if unknown), from the first one
    in every stage; stage: called with the name of each stage as it begins, "following", "fitting", "looking
    again", "learning the texture" or "refining"; note: called with a sentence where the result is less than
    asked for (a video that ends early, an interruption), by default a UserWarning; filter: settings of the
    causal filter, None for the network's own poses and expressions; threads: of the networks and the fit;
    tracker: a `LiveTracker` to use instead of one made from these arguments; aligner, settings: of the
    standard quality, a stand-in for the `DenseAligner`, and `StandardSettings`; studio: `StudioSettings` of
    the studio quality.

    Ctrl-C ends the work early and keeps what was done: what was followed is still fitted, what is not
    fitted by then stays as the live tracker saw it. Raises VideoError if the video cannot be read,
    NoFaceError if no face is found in it, InputError for unknown qualities or methods and a missing network.
    """
    if quality not in QUALITIES:
        raise InputError(f"unknown quality {quality!r}: known are {', '.join(QUALITIES)}")
    check_method(method)
    report = _Report(progress, stage, note or _warn)
    with read_video(video) as reader:
        if tracker is None:
            live = LiveSettings(filter=filter or FilterSettings(noise=0.0))
            tracker = LiveTracker(method=method, max_faces=max_faces, threads=threads, settings=live)
        dense = None
        if quality != "live":
            aligner = aligner or _dense_aligner(tracker.model, threads)
            dense = DensePoints(tracker.model, aligner, settings.points)
        faces, times = _follow(reader, tracker, dense, report)
        if reader.shortfall:
            report.note(reader.shortfall)
        if not faces:
            raise NoFaceError(f"no face found in {Path(video).name}: looked at {len(times)} frames")
        for face in faces:
            face.track = face.live = face.followed.track(reader.info.size, reader.info.fps, tracker.model)
    faces.sort(key=lambda face: len(face.track), reverse=True)
    faces = [f for f in faces if f is faces[0] or f.track.time_s[-1] - f.track.time_s[0] >= SHORTEST_S]
    if dense is not None:
        _fit(faces, dense, times, settings, threads, report)
        for _ in range(settings.passes - 1):
            with read_video(video) as reader:
                _look_again(reader, faces, dense, len(times), report)
            _fit(faces, dense, times, settings, threads, report)
    tracks = sorted((face.track for face in faces), key=len, reverse=True)
    if quality == "studio":
        # What was seen of the faces is needed no more.
        faces.clear()
        tracks = _refine(video, tracks, aligner, studio, report)
    return tracks


def refine(
    video,
    tracks,
    *,
    progress: Progress | None = None,
    stage: Stage | None = None,
    note: Note | None = None,
    threads=1,
    aligner=None,
    settings: StudioSettings = StudioSettings(),  # noqa: B008 - frozen
):
    """Refine tracks of a video by the faces' own textures, as the studio quality does: list of `Track`.

    video: path; tracks: list of `Track` of it, of any quality, or one; progress, stage, note, aligner: as of
    `track`; threads: of the dense network; settings: `StudioSettings`. Frames in which the texture does not
    help, and all frames if Ctrl-C ends the work, keep what alignment says; `Track.refined` tells which are
    which. Raises VideoError if the video cannot be read, InputError if a track is not of this video or its
    face model has no network. (SR-VFA: Yang et al. 2024.)
    """
    tracks = [tracks] if isinstance(tracks, Track) else list(tracks)
    if not tracks:
        return []
    model = tracks[0].model
    if any(t.model is not model and t.model.name != model.name for t in tracks):
        raise InputError("tracks that are refined together must be of one face model")
    for t in tracks:
        if not len(t) or not (np.diff(t.frame_index) > 0).all() or not (np.diff(t.time_s) > 0).all():
            raise InputError(
                f"a track that is refined needs frames, in order and at rising times; got {len(t)} frames"
                + (" that are not" if len(t) else "")
            )
    aligner = aligner or _dense_aligner(model, threads)
    return _refine(video, tracks, aligner, settings, _Report(progress, stage, note or _warn))


def align(
    image,
    quality="live",
    *,
    method=DEFAULT,
    max_faces=8,
    threads=1,
    tracker: LiveTracker | None = None,
    aligner=None,
):
    """The faces of a still image: list of one-frame `Track`, the surest detection first, empty if none.

    image: (H, W, 3) uint8 RGB; quality: "live" or "standard"; method, threads, tracker, aligner: as of
    `track`. Raises InputError for other images, unknown qualities or methods and a missing network.
    """
    known = [name for name in QUALITIES if name != "studio"]
    if quality not in known:
        raise InputError(f"unknown quality {quality!r} of a still image: known are {', '.join(known)}")
    image = check_image(image)
    tracker = tracker or LiveTracker(method=method, max_faces=max_faces, threads=threads)
    settings = StandardSettings()
    dense = None
    if quality == "standard":
        aligner = aligner or _dense_aligner(tracker.model, threads)
        dense = DensePoints(tracker.model, aligner, settings.points)
    faces = {}
    with tracker:
        _see(faces, tracker, dense, image, 0, 0.0)
    for face in faces.values():
        face.track = face.live = face.followed.track(image.shape[1::-1], 1.0, tracker.model)
    if dense is not None:
        _fit(list(faces.values()), dense, [0.0], settings, threads, _Report(None, None, _warn))
    return [face.track for face in faces.values()]


@dataclass
class _Face:
    """What is known of one face: how it was followed, its dense points if they are wanted, the live tracker's
    `Track` of it, and the best one so far."""

    followed: LiveRecord
    seen: DenseRecord | None
    live: Any = None
    track: Any = None


@dataclass(frozen=True)
class _Report:
    """Whom to tell how the work goes on."""

    progress: Progress | None
    stage: Stage | None
    note: Note

    def begin(self, name):
        if self.stage:
            self.stage(name)

    def step(self, done, total):
        if self.progress:
            self.progress(done, total)


def _dense_aligner(model, threads):
    from .align.uv_flow import DenseAligner

    return DenseAligner(model, threads=threads)


def _follow(reader, tracker, dense, report):
    """The faces of all frames, list of `_Face` without tracks, and the times of the frames."""
    faces: dict[int, _Face] = {}
    times, done = array("d"), 0
    report.begin("following")
    with tracker:
        try:
            for frame in reader:
                times.append(frame.time_s)
                _see(faces, tracker, dense, frame.image, frame.index, frame.time_s)
                done += 1
                report.step(done, reader.info.frames)
        except KeyboardInterrupt:
            report.note(f"interrupted after {done} frames: kept what was done")
    return list(faces.values()), np.array(times)


def _see(faces, tracker, dense, image, index, time_s):
    """One frame: the live tracker finds the faces, and dense alignment starts from what it says."""
    for found in tracker(image, time_s):
        if found.face_id not in faces:
            faces[found.face_id] = _Face(LiveRecord(), DenseRecord(len(dense.shape.mean)) if dense else None)
        face = faces[found.face_id]
        if dense and face.seen:
            face.seen.append(index, *dense.of_alignment(image, found.alignment))
        face.followed.append(index, found)


def _fit(faces, dense, times, settings, threads, report):
    """Fit the tracks to what was seen of the faces; a face of which nothing was seen stays as it is."""
    settings = replace(settings, fit=replace(settings.fit, threads=threads))
    done, total = 0, sum(len(face.track) for face in faces)
    report.begin("fitting")
    try:
        for face in faces:
            if face.seen.seen:
                identities = face.followed.identities
                face.track = fit_track(face.live, identities, dense, face.seen, times, settings)
            else:
                report.note("a face whose points were never in view keeps its live track")
            done += len(face.track)
            report.step(done, total)
    except KeyboardInterrupt:
        report.note("interrupted while fitting: what was not fitted stays as it was before")


def _look_again(reader, faces, dense, count, report):
    """Dense alignment once more, guided by the fitted tracks, of the frames that were seen before.

    An interruption leaves what was seen before.
    """
    report.begin("looking again")
    rows = [{int(index): row for row, index in enumerate(face.live.frame_index)} for face in faces]
    records = [DenseRecord(len(dense.shape.mean)) for _ in faces]
    try:
        for frame in islice(reader, count):
            for face, row_of, record in zip(faces, rows, records, strict=True):
                if frame.index in row_of:
                    row = int(np.searchsorted(face.track.frame_index, frame.index))
                    seen = dense.of_track(frame.image, face.track, row, face.live, row_of[frame.index])
                    record.append(frame.index, *seen)
            report.step(frame.index + 1, count)
    except KeyboardInterrupt:
        report.note("interrupted while looking again: kept what was seen before")
        return
    for face, record in zip(faces, records, strict=True):
        face.seen = record


def _refine(video, tracks, aligner, settings, report):
    """Self-refinement of the tracks: the video is read for their textures, then for all their frames."""
    model = tracks[0].model
    surface = Surface(model, settings.refine.samples)
    dense = DensePoints(model, aligner, settings.points)
    studies = [TextureStudy(track, dense, surface, settings) for track in tracks]
    try:
        report.begin("learning the texture")
        total = sum(len(study.rows) for study in studies)
        for done, (i, image, row) in enumerate(
            frames_of_tracks(video, tracks, [study.rows for study in studies])
        ):
            studies[i].show(image, row)
            report.step(done + 1, total)
        followers = {}
        for i in range(len(tracks)):
            # What a face has shown is forgotten before the next one learns.
            study = studies.pop(0)
            if study.seen:
                followers[i] = study.learn()
            else:
                report.note("a face whose points were never in view keeps its track")
        report.begin("refining")
        wanted = [range(len(t)) if i in followers else range(0) for i, t in enumerate(tracks)]
        total = sum(map(len, wanted))
        for done, (i, image, row) in enumerate(frames_of_tracks(video, tracks, wanted)):
            followers[i].push(image, row)
            report.step(done + 1, total)
        return [followers[i].finish() if i in followers else t for i, t in enumerate(tracks)]
    except KeyboardInterrupt:
        report.note("interrupted while refining: the tracks stay as they were before")
        return tracks


def frames_of_tracks(video, tracks, wanted):
    """(number of the track, image, row) of the wanted rows of every track, as the frames of the video come.

    Raises InputError if the video has another size, or ends before a track does.
    """
    rows = [{int(t.frame_index[row]): row for row in w} for t, w in zip(tracks, wanted, strict=True)]
    last, count = max((index for row_of in rows for index in row_of), default=-1), 0
    with read_video(video) as reader:
        for t in tracks:
            if tuple(t.image_size) != tuple(reader.info.size):
                of, has = (" x ".join(map(str, size)) for size in (t.image_size, reader.info.size))
                raise InputError(
                    f"the track is of a video of {of} pixels, {Path(video).name} has {has}: give the video "
                    "that was tracked"
                )
        for frame in islice(reader, last + 1):
            count += 1
            for i, row_of in enumerate(rows):
                if frame.index in row_of:
                    yield i, frame.image, row_of[frame.index]
    if count <= last:
        raise InputError(
            f"the track goes to frame {last}, {Path(video).name} has {count}: give the video that was tracked"
        )


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


def side_by_side(video, tracks, path, *, before=None, progress: Progress | None = None):
    """Write what refinement did: every frame beside the faces' textures laid over it and the difference.

    video, path, progress, Ctrl-C and errors: as of `overlay`; tracks: list of refined `Track`; before: what
    they were refined from, in the same order, whose difference is then shown too. Raises InputError if a
    track has no texture or is not of this video.
    """
    from .render.side_by_side import SideBySide

    compare = SideBySide(tracks, before)
    rows = [{int(index): row for row, index in enumerate(t.frame_index)} for t in tracks]
    with read_video(video) as reader, write_video(path, compare.size, reader.info.fps) as write:
        try:
            for frame in reader:
                caption = f"frame {frame.index}, {frame.time_s:.2f} s"
                write(compare(frame.image, [r.get(frame.index) for r in rows], caption), frame.time_s)
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


def _warn(sentence):
    import warnings

    warnings.warn(sentence, stacklevel=3)
