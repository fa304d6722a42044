"""What the scripts of all tools share: the command line, frames, timing, memory and the file.

Runs in the environments of other tools: it needs numpy and OpenCV alone.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np


def arguments(description, **options):
    """The command line `SCRIPT VIDEO OUT.npz [--threads N]`, and this process held to N threads.

    options: further options, name to keyword arguments of `ArgumentParser.add_argument`.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("video")
    parser.add_argument("out", type=Path, help="npz file to write")
    parser.add_argument("--threads", type=int, default=1, help="processor cores that the tool may use")
    for name, settings in options.items():
        parser.add_argument(f"--{name}", **settings)
    args = parser.parse_args()
    hold(args.threads)
    return args


def hold(threads):
    """Bind this process, and the threads it starts from now on, to so many cores.

    Some tools choose their number of threads themselves; more cores than these they cannot use. Systems
    without affinity (macOS, Windows) leave them the choice.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    cv2.setNumThreads(threads)


def frames(video):
    """The frames of a video, one at a time: (H, W, 3) uint8 RGB."""
    capture = cv2.VideoCapture(str(video))
    if not capture.isOpened():
        raise SystemExit(f"cannot read the video {video}")
    try:
        while True:
            ok, image = capture.read()
            if not ok:
                return
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def follow(video, process):
    """Give every frame of a video to a tracker.

    process: image (H, W, 3) uint8 RGB to an array of points, None without a face. Returns found (T,) bool,
    the points of the frames with a face, a list, seconds (T,) of `process` alone, and the peak memory, MB.
    """
    found, answers, seconds = [], [], []
    for image in frames(video):
        start = time.perf_counter()
        answer = process(image)
        seconds.append(time.perf_counter() - start)
        found.append(answer is not None)
        if answer is not None:
            answers.append(answer)
    if not found:
        raise SystemExit(f"no frame of the video {video} can be decoded")
    return np.array(found), answers, np.array(seconds), peak_memory_mb()


def spread(found, answers, shape):
    """The answers (N, *shape) of N frames with a face in an array (T, *shape), NaN elsewhere."""
    out = np.full((len(found), *shape), np.nan, np.float32)
    out[found] = np.reshape(answers, (-1, *shape))
    return out


def peak_memory_mb():
    """Largest resident size of this process so far, MB of 10^6 bytes; NaN where the system does not say."""
    try:
        # getrusage would count the process that started this one too, before it became this one.
        status = Path("/proc/self/status").read_text()
        return 1.024e-3 * int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, other systems kibibytes.
    return peak / 1e6 if sys.platform == "darwin" else 1.024e-3 * peak


def write(path, **arrays):
    """Write a prediction file, whole or not at all; keys as in `steadyface.evaluate.prediction`."""
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial.npz")
    try:
        np.savez(temporary, **arrays)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
