"""Cost per frame of the live tracker against MediaPipe Face Mesh: same frames, same core, same run.

python benchmarks/versus_mediapipe.py --mediapipe-python PATH [--videos ../shared/data/videos] [--out docs]

PATH is the python of an environment with mediapipe==0.10.21, which pins an older numpy than steadyface
takes. Both sides get frames already decoded (RGB) and are timed to what a user asks of them: ours to 68 3D
landmarks and all vertices, MediaPipe to its mesh of landmarks, without and with its iris refinement. The
two take turns, clip by clip, pinned to one and the same core. Each pass starts afresh, and its first
frames, in which a detector runs, are not timed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

WARM_UP = 10


def pin(core):
    """Bind this process, and every thread it starts later, to one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def time_frames(frames, process):
    """Milliseconds that `process(image, index)` takes for each frame after the first `WARM_UP`, and how
    many frames it found a face in."""
    spent, found = [], 0
    for i, frame in enumerate(frames):
        start = time.perf_counter()
        seen = process(frame, i)
        end = time.perf_counter()
        if i >= WARM_UP:
            spent.append(1e3 * (end - start))
            found += bool(seen)
    return spent, found


def mediapipe_pass(frames, refine):
    """Time MediaPipe Face Mesh in tracking mode; runs in its own environment."""
    import mediapipe

    mesh = mediapipe.solutions.face_mesh.FaceMesh(  # type: ignore[attr-defined]
        static_image_mode=False, max_num_faces=1, refine_landmarks=refine
    )
    answer = time_frames(frames, lambda frame, _: mesh.process(frame).multi_face_landmarks)
    mesh.close()
    return answer


def steadyface_pass(frames):
    """Time the live tracker to landmarks and vertices."""
    from steadyface.live import LiveTracker

    tracker = LiveTracker(max_faces=1, threads=1)

    def process(frame, i):
        faces = tracker(frame, i / 25)
        for face in faces:
            face.landmarks("ibug68")
            face.vertices()
        return faces

    return time_frames(frames, process)


PASSES = {
    "steadyface": steadyface_pass,
    "mediapipe": lambda frames: mediapipe_pass(frames, False),
    "mediapipe refined": lambda frames: mediapipe_pass(frames, True),
}


def serve(core):
    """Answer requests on stdin, one a line: {"side", "frames"} in JSON to {"spent", "found"} on stdout."""
    pin(core)
    answers = os.fdopen(os.dup(1), "w")
    # MediaPipe's libraries write to the standard output too.
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        spent, found = PASSES[request["side"]](np.load(request["frames"]))
        print(json.dumps({"spent": spent, "found": found}), file=answers, flush=True)


class Worker:
    """A process of its own that serves passes; libraries' thread pools are held to one thread."""

    def __init__(self, python, core):
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self.command = [str(python), __file__, "--serve", "--core", str(core)]
        # A file, for a full pipe that nobody reads would stop a talkative library.
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, **one_thread},
        )

    def __call__(self, side, frames):
        assert self.process.stdin
        assert self.process.stdout
        try:
            print(json.dumps({"side": side, "frames": str(frames)}), file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline())
        except (BrokenPipeError, ValueError) as e:
            self.process.wait()
            self.log.seek(0)
            message = self.log.read().strip().splitlines()[-1:]
            raise SystemExit(f"{' '.join(self.command)} stopped: {' '.join(message)}") from e

    def close(self):
        # The worker ends at the end of its input; one that has failed has closed its end already.
        for pipe in filter(None, (self.process.stdin, self.process.stdout)):
            with suppress(BrokenPipeError):
                pipe.close()
        self.process.wait()
        self.log.close()


def read_frames(path, count):
    """The first frames of a video: (count, H, W, 3) uint8 RGB."""
    from steadyface.video import VideoReader

    frames = []
    with VideoReader(path) as reader:
        for frame in reader:
            frames.append(frame.image)
            if len(frames) == count:
                break
    return np.stack(frames)


def measure(videos, mediapipe_python, rounds, count, core):
    """Time all sides in turns.

    Returns times in ms, {side: {clip: one list a round}}; frames without a face, {side: number}; and the
    sizes of the clips, {clip: "WxH"}.
    """
    paths = sorted(Path(videos).glob("*.mp4"))
    if not paths:
        raise SystemExit(f"no videos in {videos}: give a folder of mp4 files of one face")
    times = {side: {p.stem: [] for p in paths} for side in PASSES}
    lost = dict.fromkeys(PASSES, 0)
    sizes = {}
    ours, theirs = Worker(sys.executable, core), Worker(mediapipe_python, core)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for path in paths:
                frames = read_frames(path, count)
                sizes[path.stem] = f"{frames.shape[2]}x{frames.shape[1]}"
                stored = Path(folder) / "frames.npy"
                np.save(stored, frames)
                for _ in range(rounds):
                    for side in PASSES:
                        answer = (ours if side == "steadyface" else theirs)(side, stored)
                        times[side][path.stem].append(answer["spent"])
                        lost[side] += len(answer["spent"]) - answer["found"]
    finally:
        ours.close()
        theirs.close()
    return times, lost, sizes


def section(times, lost, sizes, rounds):
    """The `Section` "versus_mediapipe" of what `measure` returns."""
    from steadyface.evaluate.report import Section, Table, Target

    def pooled(side, clips=tuple(sizes), chosen=tuple(range(rounds))):
        return np.concatenate([times[side][clip][r] for clip in clips for r in chosen])

    def medians(side, *chosen):
        return float(np.median(pooled(side, *chosen)))

    others = [side for side in times if side != "steadyface"]
    ratio = {side: medians("steadyface") / medians(side) for side in others}
    rows = []
    for name, clips in [*((clip, (clip,)) for clip in sizes), ("all", tuple(sizes))]:
        each = [medians(side, clips) for side in times]
        rows.append((name, sizes.get(name, ""), *each, each[0] / each[1], each[0] / each[2]))
    ranges = []
    for side in others:
        by_round = [
            medians("steadyface", tuple(sizes), (r,)) / medians(side, tuple(sizes), (r,))
            for r in range(rounds)
        ]
        ranges.append(f"against {side} {min(by_round):.2f} to {max(by_round):.2f}")
    means = ", ".join(f"{side} {pooled(side).mean():.2f}" for side in times)
    return Section(
        name="versus_mediapipe",
        title="Cost per frame against MediaPipe Face Mesh 0.10.21, one core",
        command="python benchmarks/versus_mediapipe.py --mediapipe-python PATH",
        targets=(
            Target("cost per frame over MediaPipe's, 468 points", ratio["mediapipe"], "<=", 0.5),
            Target("cost per frame over MediaPipe's, irises too", ratio["mediapipe refined"], "<=", 0.5),
        ),
        tables=(
            Table(
                "Median milliseconds from decoded frame to result (ours: 68 3D landmarks and all vertices).",
                ("clip", "size", "steadyface", "MediaPipe 468", "MediaPipe 478", "ratio to 468", "to 478"),
                tuple(rows),
            ),
        ),
        notes=(
            f"The sides took turns, {rounds} rounds; the ratio of a round's medians was "
            f"{' and '.join(ranges)}. Mean milliseconds: {means}. Frames in which no face was found: "
            + ", ".join(f"{side} {n}" for side, n in lost.items())
            + ".",
        ),
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mediapipe-python", type=Path)
    parser.add_argument("--videos", type=Path, default=Path("../shared/data/videos"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=100, help="of each clip")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.core)
        return
    if args.mediapipe_python is None:
        parser.error("--mediapipe-python is needed: the python of an environment with mediapipe==0.10.21")
    from steadyface.evaluate.report import save

    times, lost, sizes = measure(args.videos, args.mediapipe_python, args.rounds, args.frames, args.core)
    print(save(section(times, lost, sizes, args.rounds), args.out))


if __name__ == "__main__":
    main()
