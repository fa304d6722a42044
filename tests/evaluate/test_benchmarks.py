"""The parts of the benchmark programs that can be checked without networks, MediaPipe or a long run."""

import importlib.util
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from dense_scene import talking

from steadyface.align.alignment import Alignment
from steadyface.detect.detector import Detection
from steadyface.evaluate import report
from steadyface.live import LiveTracker
from steadyface.pipeline import track

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def program(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


memory = program("memory")
versus = program("versus_mediapipe")
startup = program("startup")
installed_size = program("installed_size")
fwpdc = program("fwpdc")
rasterize = program("rasterize")


def values(section):
    return {t.what: t.value for t in section.targets}


def write_clip(path, count, size=(64, 48)):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=memory.FPS)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for i in range(count):
            image = np.full((size[1], size[0], 3), 8 * i, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))


def test_ping_pong_turns_without_showing_a_frame_twice_in_a_row():
    assert memory.ping_pong([0, 1, 2, 3], 10) == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]


def test_a_long_video_is_its_cycle_repeated(tmp_path):
    source, cycle, long = (tmp_path / f"{n}.mp4" for n in ("source", "cycle", "long"))
    write_clip(source, 12)
    memory.make_cycle(source, cycle, seconds=1, size=(96, 64))
    memory.repeat_video(cycle, long, 3)
    with av.open(str(long)) as container:
        frames = list(container.decode(video=0))
    assert (frames[0].width, frames[0].height) == (96, 64)
    assert len(frames) == 3 * memory.FPS
    times = np.array([f.time for f in frames])
    np.testing.assert_allclose(np.diff(times), 1 / memory.FPS, atol=1e-4)
    grey = np.array([f.to_ndarray(format="gray").mean() for f in frames])
    np.testing.assert_allclose(grey[: memory.FPS], grey[memory.FPS : 2 * memory.FPS], atol=1)
    assert np.ptp(grey) > 50


def test_growth_counts_only_what_rises_after_the_mark():
    times = np.linspace(0, 10, 11)
    flat = np.full(11, 200.0)
    assert memory.growth_after(times, flat, 1.0) == 0
    early = flat + 100 * (times < 1)
    assert memory.growth_after(times, early, 1.0) == 0
    assert memory.growth_after(times, flat + 7 * times, 1.0) == pytest.approx(63)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_watching_a_process_sees_what_it_holds():
    code = "import time; time.sleep(0.4); hold = bytearray(b'x' * 80_000_000); time.sleep(0.4); print(7)"
    times, resident, printed = memory.watch([sys.executable, "-c", code], interval_s=0.02)
    assert printed == ["7"]
    assert resident.max() - resident[times < times[0] + 0.3].max() > 70
    with pytest.raises(SystemExit, match="status 3"):
        memory.watch([sys.executable, "-c", "raise SystemExit(3)"])


def test_memory_section_reports_the_growth():
    times = np.linspace(0, 100, 201)
    section = memory.section(times, 200 + 0.1 * times, 10, "live", 17000, 9.0)
    assert values(section) == {"growth of memory after the first minute": 9.0}
    whole = memory.section(times, 200 + 8 * times, 10, "standard", 17000, 700.0)
    assert values(whole) == {"most memory, 10 minutes": 1.0}
    assert whole.name == "memory_standard"
    refined = memory.section(times, 200 + 0.1 * times, 10, "studio", 17000, 9.0)
    assert values(refined) == {"growth of memory after the first minute, studio": 9.0}
    assert refined.name == "memory_studio"
    assert "17000 frames refined" in refined.notes[0]
    assert section.tables[0].rows[-1][1:] == pytest.approx((210, 210))


def test_a_track_of_a_repeated_video_goes_on(tiny_model):
    once = talking(tiny_model, 12)
    whole = memory.repeat_track(once, 3, frames=memory.FPS)
    assert len(whole) == 36
    np.testing.assert_array_equal(whole.frame_index[12:24], np.arange(12) + memory.FPS)
    np.testing.assert_allclose(whole.time_s[24:], once.time_s + 2)
    np.testing.assert_array_equal(whole.expression[24:], once.expression)
    np.testing.assert_array_equal(whole.identity, once.identity)


def test_warm_up_frames_are_not_timed():
    seen = []
    spent, found = versus.time_frames(range(versus.WARM_UP + 5), lambda f, i: seen.append(f) or f % 2)
    assert len(seen) == versus.WARM_UP + 5
    assert len(spent) == 5
    assert found == 2


def test_the_cost_ratio_is_of_medians_over_all_frames():
    times = {
        "steadyface": {"a": [[1.0, 1.0, 50.0]] * 2, "b": [[1.0]] * 2},
        "mediapipe": {"a": [[2.0] * 3] * 2, "b": [[2.5]] * 2},
        "mediapipe refined": {"a": [[4.0] * 3] * 2, "b": [[4.0]] * 2},
    }
    section = versus.section(times, dict.fromkeys(times, 0), {"a": "64x48", "b": "64x48"}, 2)
    assert list(values(section).values()) == pytest.approx([0.5, 0.25])
    assert section.tables[0].rows[1] == ("b", "64x48", 1.0, 2.5, 4.0, 0.4, 0.25)


def test_a_worker_answers_requests_and_explains_its_end(tmp_path, monkeypatch):
    package = tmp_path / "mediapipe.py"
    package.write_text(
        "import types\n"
        "class FaceMesh:\n"
        "    def __init__(self, **options): self.refine = options['refine_landmarks']\n"
        "    def process(self, image):\n"
        "        print('chatter on the standard output')\n"
        "        return types.SimpleNamespace(multi_face_landmarks=[1] if self.refine else None)\n"
        "    def close(self): pass\n"
        "solutions = types.SimpleNamespace(face_mesh=types.SimpleNamespace(FaceMesh=FaceMesh))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    frames = tmp_path / "frames.npy"
    np.save(frames, np.zeros((versus.WARM_UP + 4, 8, 8, 3), np.uint8))
    worker = versus.Worker(sys.executable, 0)
    try:
        assert worker("mediapipe refined", frames)["found"] == 4
        answer = worker("mediapipe", frames)
        assert answer["found"] == 0
        assert len(answer["spent"]) == 4
        package.unlink()
        with pytest.raises(SystemExit, match="stopped: FileNotFoundError"):
            worker("mediapipe", tmp_path / "missing.npy")
    finally:
        worker.close()


def test_start_up_names_the_forbidden_packages():
    measured = {
        "import_s": 0.2,
        "help_s": 0.4,
        "bare_s": 0.02,
        "import_heavy": [],
        "help_heavy": ["onnxruntime"],
    }
    assert values(startup.section(measured))["forbidden packages loaded (torch, anny, numba, ...)"] == 0
    measured["help_heavy"] = ["numba"]
    assert not all(t.met for t in startup.section(measured).targets)


def test_import_of_the_package_is_timed_and_stays_light():
    answer, spent = startup.run(startup.IMPORT)
    assert 0 < answer["spent"] < spent
    assert "steadyface" in answer["modules"]
    assert not {"torch", "anny", "numba", "scipy"} & set(answer["modules"])
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        startup.run("1 / 0")


def test_sizes_are_summed_by_part_without_pip(tmp_path):
    for name, count in (("numpy/core/a.so", 3000), ("numpy/b.py", 500), ("pip/x.py", 9999), ("one.py", 100)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * count)
    (tmp_path / "pip-24.dist-info").mkdir()
    (tmp_path / "pip-24.dist-info" / "RECORD").write_bytes(b"x" * 50)
    found = installed_size.sizes(tmp_path)
    assert found == {"numpy": 3500, "one.py": 100}
    section = installed_size.section({"numpy": 80_000_000, "av": 1_500_000, "tiny": 1000})
    assert section.targets[0].value == pytest.approx(81.501)
    assert [row[0] for row in section.tables[0].rows] == ["numpy", "av", "everything else", "all"]


def test_every_section_can_be_saved_and_shown(tmp_path):
    times = np.linspace(0, 100, 201)
    report.save(memory.section(times, 200 + times, 10, "live", 17000, 9.0), tmp_path)
    text = report.save(installed_size.section({"numpy": 80_000_000}), tmp_path).read_text()
    assert text.index("## Memory over 10 minutes") < text.index("## Installed size")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_tracking_holds_no_frames(tmp_path, tiny_model):
    source, cycle, long = (tmp_path / f"{n}.mp4" for n in ("source", "cycle", "long"))
    write_clip(source, 12)
    memory.make_cycle(source, cycle, seconds=10, size=(320, 240))
    memory.repeat_video(cycle, long, 3)
    head = Alignment(
        np.zeros(3), 0.6, np.array([160.0, 110.0]), np.zeros(6), np.zeros(4), np.full(68, 0.5), 0.99
    )
    tracker = LiveTracker(
        model=tiny_model,
        detector=lambda image: [Detection(np.array([160.0, 120]), 132.0, 1.0, 0.0)],
        regressor=lambda image, crops: [head for _ in crops],
        max_faces=1,
    )
    seen = []

    def progress(done, _):
        if done in (450, 900):
            seen.append(memory.resident_mb("self"))

    tracks = track(long, "live", progress=progress, tracker=tracker)
    assert len(tracks[0]) == 900
    # The decoder fills its pools at first; 450 frames would be 103 MB, were they kept.
    assert seen[1] - seen[0] < 20


def test_fwpdc_is_compared_with_the_definition(tiny_model):
    measured = fwpdc.measure(tiny_model, 4, 1)
    assert measured["double"] < 1e-6
    assert measured["double"] < measured["single"] < 1e-3
    section = fwpdc.section({"double": 1e-9, "single": 2e-5, "wpdc_s": 0.3, "fwpdc_s": 0.02}, 4, "tiny")
    assert [t.met for t in section.targets] == [False, True]
    assert section.targets[1].value == pytest.approx(15)


def test_all_ways_to_rasterise_see_the_same_triangles():
    times, same = rasterize.measure((40, 64), 1)
    assert all(len(t) == 2 and min(t) > 0 for t in times.values())
    assert min(min(s) for s in same.values()) > 0.999
    rows = rasterize.section((40, 64), times, same).tables[0].rows
    assert [row[0] for row in rows] == ["40 x 40", "64 x 64"]
