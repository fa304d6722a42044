"""2D points of one face through time, as any tool found them, and several cameras' on one time line."""

from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError

#: Frames a second where neither the points nor a video tell.
DEFAULT_FPS = 30.0
#: Frame numbers may leave out so many frames for each that has points.
_MOST_LEFT_OUT = 100


@dataclass(frozen=True, eq=False)
class ImagePoints:
    """L points in the T frames of one camera.

    points: (T, L, 2) px, integers being pixel centres, not finite where a point is not seen; sigma: (T, L)
    px, standard deviations, or None; frame_index: (T,) increasing frame numbers, None for 0 to T - 1;
    time_s: (T,) seconds or None; fps: frames a second or None; image_size: (width, height) px or None;
    names: L names or None; markup: name of the set of points or None. Raises InputError if something does
    not fit.
    """

    points: np.ndarray
    sigma: np.ndarray | None = None
    frame_index: np.ndarray | None = None
    time_s: np.ndarray | None = None
    fps: float | None = None
    image_size: tuple[int, int] | None = None
    names: tuple[str, ...] | None = None
    markup: str | None = None

    def __post_init__(self):
        points = numbers("points", self.points)
        if points.ndim != 3 or points.shape[-1] not in (2, 3) or 0 in points.shape:
            raise InputError(f"points must be (T, L, 2) or (T, L, 3) pixels; got {points.shape}")
        object.__setattr__(self, "points", points[..., :2])
        t, count = points.shape[:2]
        for name, shape in (("sigma", (t, count)), ("frame_index", (t,)), ("time_s", (t,))):
            value = getattr(self, name)
            if value is None:
                continue
            value = numbers(name, value)
            if value.shape != shape:
                raise InputError(f"points of {t} frames need {name} of shape {shape}; got {value.shape}")
            object.__setattr__(self, name, value)
        if self.frame_index is not None:
            object.__setattr__(self, "frame_index", _whole(self.frame_index))
        if self.time_s is not None and not (np.isfinite(self.time_s).all() and _increases(self.time_s)):
            raise InputError("time_s must be finite and increase from frame to frame")
        if self.fps is not None and not (np.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"fps must be > 0; got {self.fps}")
        if self.image_size is not None:
            object.__setattr__(self, "image_size", checked_size(self.image_size))
        if self.names is not None and len(self.names) != count:
            raise InputError(f"{count} points need as many names; got {len(self.names)}")

    def __len__(self):
        return len(self.points)

    @property
    def seen(self):
        """(T, L) bool, the points that are there."""
        return np.isfinite(self.points).all(-1)

    @property
    def frames(self):
        """(T,) frame numbers."""
        return np.arange(len(self)) if self.frame_index is None else self.frame_index

    def with_known(self, **fields):
        """The same with those of the given fields that it lacks."""
        return replace(self, **{k: v for k, v in fields.items() if getattr(self, k) is None})


@dataclass(frozen=True, eq=False)
class TimeLine:
    """Points of C cameras on the T consecutive frames from the first to the last with points.

    points: (T, C, L, 2) px; sigma: (T, C, L) px, infinite where a point is not seen; frame_index: (T,);
    time_s: (T,) seconds; fps: frames a second.
    """

    points: np.ndarray
    sigma: np.ndarray
    frame_index: np.ndarray
    time_s: np.ndarray
    fps: float


def checked_size(image_size):
    """(width, height) as whole numbers of pixels. Raises InputError if they are not, or not > 0."""
    size = np.asarray(image_size)
    if size.shape != (2,) or size.dtype.kind not in "iuf" or not (np.isfinite(size) & (size >= 1)).all():
        raise InputError(f"the image size must be (width, height) > 0 px; got {image_size}")
    return int(size[0]), int(size[1])


def on_one_time_line(views, video=None):
    """Points of one or more cameras, frame by frame: `TimeLine`.

    views: `ImagePoints` with sigma, as many points in each; frames without a number are the first, the
    second and so on. video: times (N,) of the frames of a video, None to take the points' own, or else
    their frames a second, or else `DEFAULT_FPS`. Frames between that no camera has are added without points.
    Raises InputError if the cameras do not go together, or no point is seen.
    """
    counts = {v.points.shape[1] for v in views}
    if len(counts) > 1:
        raise InputError(f"all cameras need the same points; got {sorted(counts)} of them")
    lengths = [len(v) for v in views]
    if len(set(lengths)) > 1 and any(v.frame_index is None for v in views):
        raise InputError(
            f"all cameras need the same frames, got {', '.join(map(str, lengths))}: cut the files, or give "
            "every file frame numbers"
        )
    used = [v.frames[v.seen.any(1)] for v in views]
    if not sum(map(len, used)):
        raise InputError("no point is seen: every coordinate is empty or not finite")
    numbered = np.concatenate(used)
    first, last = int(numbered.min()), int(numbered.max())
    if last - first > _MOST_LEFT_OUT * len(np.unique(numbered)):
        raise InputError(
            f"the frames are numbered from {first} to {last}, but only {len(np.unique(numbered))} have points"
        )
    index = np.arange(first, last + 1)
    points = np.full((len(index), len(views), *views[0].points.shape[1:]), np.nan)
    sigma = np.full(points.shape[:-1], np.inf)
    for c, view in enumerate(views):
        inside = (view.frames >= first) & (view.frames <= last)
        row = view.frames[inside] - first
        points[row, c] = view.points[inside]
        assert view.sigma is not None
        sigma[row, c] = np.where(view.seen[inside], view.sigma[inside], np.inf)
    time_s, fps = _times(views, index, video)
    return TimeLine(points, sigma, index, time_s, fps)


def _times(views, index, video):
    """Seconds of the frames (T,) and frames a second."""
    fps = next((v.fps for v in views if v.fps is not None), None)
    if video is not None:
        if index[-1] >= len(video):
            raise InputError(
                f"there are points of frame {index[-1]}, but the video has frames 0 to {len(video) - 1}"
            )
        return video[index], fps or _rate(np.arange(len(video)), video)
    timed = [v for v in views if v.time_s is not None]
    if not timed:
        fps = fps or DEFAULT_FPS
        return index / fps, fps
    fps = fps or _rate(timed[0].frames, timed[0].time_s)
    time_s = _extended(index, timed[0].frames, timed[0].time_s, fps)
    for other in timed[1:]:
        both = np.isin(other.frames, index)
        away = np.abs(other.time_s[both] - time_s[other.frames[both] - index[0]])
        if away.size and away.max() > 0.5 / fps:
            raise InputError(
                f"the times of the cameras differ by {1000 * away.max():.0f} ms in frames of the same number, "
                "more than half a frame"
            )
    return time_s, fps


def _rate(frames, time_s):
    """Frames a second, of which there may be one."""
    if len(frames) < 2:
        return DEFAULT_FPS
    return float(np.median(np.diff(frames) / np.diff(time_s)))


def _extended(index, frames, time_s, fps):
    """Times of frames: linear between known ones, and on at the frame rate beyond them."""
    out = np.interp(index, frames, time_s)
    out += np.minimum(index - frames[0], 0) / fps + np.maximum(index - frames[-1], 0) / fps
    return out


def numbers(name, value):
    """An array of numbers as float. Raises InputError, which names it, for anything else."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} must be numbers; got an array of {array.dtype}")
    return array.astype(float)


def _increases(x):
    return bool((np.diff(x) > 0).all())


def _whole(frames):
    whole = np.where(np.isfinite(frames), frames, -1).astype(np.int64)
    if (whole != frames).any() or (whole < 0).any() or not _increases(whole):
        raise InputError("frame_index must be whole numbers >= 0 that increase")
    return whole
