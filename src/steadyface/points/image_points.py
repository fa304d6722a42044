"""2D points of one face through time, as any tool found them, and several cameras' on one time line."""

from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError

#: Frames a second where neither the points nor a video tell.
DEFAULT_FPS = 30.0
#: A face that no camera sees for no longer is filled in.
GAP_S = 0.5


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
    """Points of C cameras on the T frames that some camera has points in, short gaps filled in.

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


def on_one_time_line(views, video=None, gap_s=GAP_S):
    """Points of one or more cameras, frame by frame: `TimeLine`.

    views: `ImagePoints` with sigma, as many points in each; frames without a number are the first, the
    second and so on. video: times (N,) of the frames of a video, None to take the points' own, or else
    their frames a second, or else `DEFAULT_FPS`; gap_s: between two frames with points that are no farther
    apart, those that no camera has are added. Raises InputError if the cameras do not go together, or no
    point is seen.
    """
    lengths = [len(v) for v in views]
    if len(set(lengths)) > 1 and any(v.frame_index is None for v in views):
        raise InputError(
            f"all cameras need the same frames, got {', '.join(map(str, lengths))}: cut the files, or give "
            "every file frame numbers"
        )
    used = np.unique(np.concatenate([v.frames[v.seen.any(1)] for v in views]))
    if not len(used):
        raise InputError("no point is seen: every coordinate is empty or not finite")
    time_of, fps = _clock(views, video, used[-1])
    index = _with_short_gaps(used, time_of, gap_s)
    points = np.full((len(index), len(views), *views[0].points.shape[1:]), np.nan)
    sigma = np.full(points.shape[:-1], np.inf)
    for c, view in enumerate(views):
        inside = np.isin(view.frames, index)
        row = np.searchsorted(index, view.frames[inside])
        points[row, c] = view.points[inside]
        assert view.sigma is not None
        sigma[row, c] = np.where(view.seen[inside], view.sigma[inside], np.inf)
    return TimeLine(points, sigma, index, time_of(index), fps)


def _with_short_gaps(used, time_of, gap_s):
    times = time_of(used)
    step = np.diff(used)
    short = np.flatnonzero((step > 1) & (np.diff(times) <= gap_s))
    between = [np.arange(used[i] + 1, used[i + 1]) for i in short]
    return np.sort(np.concatenate([used, *between]))


def _clock(views, video, last):
    """The function that gives frames (N,) their seconds, and the frames a second."""
    fps = next((v.fps for v in views if v.fps is not None), None)
    if video is not None:
        if last >= len(video):
            raise InputError(
                f"there are points of frame {last}, but the video has frames 0 to {len(video) - 1}"
            )
        return lambda frames: video[frames], fps or _rate(np.arange(len(video)), video)
    timed = [v for v in views if v.time_s is not None]
    if not timed:
        rate = fps or DEFAULT_FPS
        return lambda frames: frames / rate, rate
    known, seconds = timed[0].frames, timed[0].time_s
    rate = fps or _rate(known, seconds)

    def time_of(frames):
        # On at the frame rate before the first and beyond the last.
        before, after = np.minimum(frames - known[0], 0), np.maximum(frames - known[-1], 0)
        return np.interp(frames, known, seconds) + (before + after) / rate

    for other in timed[1:]:
        away = np.abs(other.time_s - time_of(other.frames)).max()
        if away > 0.5 / rate:
            raise InputError(
                f"the cameras' times differ by {1000 * away:.0f} ms in frames of the same number, more than "
                "half a frame"
            )
    return time_of, rate


def _rate(frames, time_s):
    """Frames a second, of which there may be one."""
    if len(frames) < 2:
        return DEFAULT_FPS
    return float(np.median(np.diff(frames) / np.diff(time_s)))


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
