"""Memory over a long video: `track` on ten minutes of 720p, made by repeating a clip of a face.

python benchmarks/memory.py [--source ../shared/data/videos/s32.mp4] [--minutes 10] [--quality live]
    [--out docs]

Tracking runs in a process of its own whose resident memory is read all the while. Of the studio quality it is
the refinement alone, of a track of the standard quality, whose memory is measured by itself.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (1280, 720)
FPS = 30
#: Length of the clip that is repeated, seconds.
CYCLE_S = 20

#: Prints the clock when the first minute is done, and at the end the number of frames tracked.
TRACK = f"""
import sys, time
from steadyface.pipeline import track

def progress(done, total):
    if done == {60 * FPS}:
        print(time.perf_counter())

faces = track(sys.argv[1], sys.argv[2], progress=progress)
print(sum(len(face) for face in faces))
"""
#: The same of the refinement of a track, in a file, and before that the clock when the texture is learned;
#: sys.argv: video, quality, track.
REFINE = f"""
import sys, time
from steadyface.pipeline import refine
from steadyface.track import Track

refining = []

def stage(name):
    if name == "refining":
        print(time.perf_counter())
        refining.append(True)

def progress(done, total):
    if refining and done == {60 * FPS}:
        print(time.perf_counter())

faces = refine(sys.argv[1], Track.load(sys.argv[3]), progress=progress, stage=stage)
print(sum(len(face) for face in faces))
"""


def ping_pong(frames, count):
    """Frames forwards and backwards in turn, so that no cut interrupts the face: `count` of them."""
    order = np.abs((np.arange(count) + len(frames) - 1) % (2 * len(frames) - 2) - (len(frames) - 1))
    return [frames[i] for i in order]


def make_cycle(source, path, seconds=CYCLE_S, size=SIZE):
    """Write `seconds` of a source video, played forwards and backwards, at `size` and `FPS`."""
    with av.open(str(source)) as container:
        frames = []
        for frame in container.decode(video=0):
            frames.append(frame.reformat(*size, format="yuv420p"))
            if len(frames) == 5 * FPS:
                break
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"crf": "20", "preset": "veryfast", "bf": "0"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for i, frame in enumerate(ping_pong(frames, round(seconds * FPS))):
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def repeat_video(cycle, path, times):
    """Write a video that shows another one `times` times, without encoding it again."""
    with av.open(str(path), "w") as out:
        stream = None
        for n in range(times):
            with av.open(str(cycle)) as container:
                source = container.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(source)
                length = source.duration
                for packet in container.demux(source):
                    if packet.dts is None:
                        continue
                    packet.pts += n * length
                    packet.dts += n * length
                    packet.stream = stream
                    out.mux(packet)


def repeat_track(track, times, frames=CYCLE_S * FPS):
    """The `Track` of a video of so many frames that is shown `times` times."""
    from steadyface.evaluate.refine_study.paper import part_of

    lap, row = np.divmod(np.arange(times * len(track)), len(track))
    whole = part_of(track, row)
    return replace(
        whole, frame_index=whole.frame_index + frames * lap, time_s=whole.time_s + frames / FPS * lap
    )


def resident_mb(pid):
    """Resident memory of a process now, MB; None when it has ended. Linux only."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def watch(command, interval_s=0.1):
    """Run a command and read its memory all the while.

    Returns times (N,) of `time.perf_counter`, resident MB (N,), and the lines it printed. Raises
    SystemExit if it fails.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    times, memory = [], []
    while process.poll() is None:
        now = resident_mb(process.pid)
        # A process that has ended but is not yet waited for has no memory.
        if now:
            times.append(time.perf_counter())
            memory.append(now)
        time.sleep(interval_s)
    printed = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"tracking failed with status {process.returncode}")
    return np.array(times), np.array(memory), printed.split()


def growth_after(times, memory, mark):
    """How far memory rises, MB, after the time `mark` above its highest until then."""
    first = times <= mark
    return float(max(memory[~first].max(initial=-np.inf) - memory[first].max(initial=-np.inf), 0.0))


def section(times, memory, minutes, quality, frames, growth):
    """The `Section` "memory"."""
    from steadyface.evaluate.report import Section, Table, Target

    marks = np.linspace(0.1, 1, 10)
    rows = tuple(
        (
            f"{m * minutes:g}",
            float(np.interp(m * times[-1], times, memory)),
            float(memory[times <= m * times[-1]].max()),
        )
        for m in marks
    )
    live, done = quality == "live", "refined" if quality == "studio" else "tracked"
    which = "" if live else f", {quality}"
    growing = Target(f"growth of memory after the first minute{which}", growth, "<", 50.0, "MB")
    most = Target(f"most memory, {minutes:g} minutes", float(memory.max()) / 1000, "<", 2.0, "GB")
    return Section(
        name="memory" if live else f"memory_{quality}",
        title=f"Memory over {minutes:g} minutes of 720p video, {quality} quality",
        command="python benchmarks/memory.py" + ("" if live else f" --quality {quality}"),
        targets=(most if quality == "standard" else growing,),
        tables=(Table("Resident memory all the while.", ("minute", "MB", "highest so far, MB"), rows),),
        notes=(
            f"{frames} frames {done} of {round(minutes * 60 * FPS)} in {times[-1]:.0f} s "
            f"({frames / times[-1]:.0f} frames a second, decoding included).",
        ),
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, default=Path("../shared/data/videos/s32.mp4"))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--quality", choices=("live", "standard", "studio"), default="live")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    if not args.source.is_file():
        parser.error(f"no video {args.source}: name a clip of a face with --source")
    from steadyface.evaluate.report import save

    with tempfile.TemporaryDirectory() as folder:
        cycle, video = Path(folder) / "cycle.mp4", Path(folder) / "long.mp4"
        make_cycle(args.source, cycle)
        laps = max(1, round(args.minutes * 60 / CYCLE_S))
        repeat_video(cycle, video, laps)
        program, more = TRACK, []
        if args.quality == "studio":
            from steadyface.pipeline import track

            program, more = REFINE, [str(Path(folder) / "long.npz")]
            repeat_track(track(cycle, "standard", max_faces=1)[0], laps).save(more[0])
        times, memory, printed = watch([sys.executable, "-c", program, str(video), args.quality, *more])
    if len(printed) < (3 if more else 2):
        parser.error("--minutes must be more than one: the first minute is what the rest is compared with")
    # What the texture phase needed would hide what grows after it.
    since = times >= float(printed[0]) if more else np.ones(len(times), bool)
    growth = growth_after(times[since], memory[since], float(printed[-2]))
    print(
        save(
            section(times - times[0], memory, args.minutes, args.quality, int(printed[-1]), growth), args.out
        )
    )


if __name__ == "__main__":
    main()
