import os
import weakref
from fractions import Fraction

import av
import numpy as np
import pytest

from steadyface.errors import OutputError, VideoError
from steadyface.video import read_image, read_video, write_video


def picture(index=0, size=(64, 48)):
    """Dark, with a bright top-left corner and a grey level that tells the index."""
    image = np.full((size[1], size[0], 3), 30 + 5 * (index % 40), np.uint8)
    image[: size[1] // 4, : size[0] // 4] = 250
    return image


def make_video(path, times, size=(64, 48)):
    with write_video(path, size, 25.0) as write:
        for index, time_s in enumerate(times):
            write(picture(index, size), time_s)
    return path


def raw_video(path, rotation=0, hflip=False):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if rotation or hflip:
            stream.set_display_rotation(rotation, hflip=hflip)
        for index in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index))))
        container.mux(stream.encode(None))
    return path


def test_what_is_written_is_read(tmp_path):
    path = make_video(tmp_path / "a.mp4", np.arange(12) / 25)
    with read_video(path) as reader:
        assert reader.info.size == (64, 48)
        assert reader.info.fps == pytest.approx(25)
        assert reader.info.frames == 12
        frames = list(reader)
    assert [f.index for f in frames] == list(range(12))
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(12) / 25)
    for f in frames:
        assert np.abs(f.image.astype(int) - picture(f.index)).mean() < 4
    assert reader.shortfall is None


def test_quality_is_a_choice(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (5, 48, 64, 3), np.uint8)
    error, size = {}, {}
    for crf in (4, 40):
        path = tmp_path / f"{crf}.mp4"
        with write_video(path, (64, 48), 25.0, crf=crf) as write:
            for i, frame in enumerate(frames):
                write(frame, i / 25)
        size[crf] = path.stat().st_size
        with read_video(path) as reader:
            decoded = np.stack([f.image for f in reader])
        error[crf] = np.abs(decoded.astype(int) - frames).mean()
    assert size[40] < 0.5 * size[4]
    assert error[4] < error[40]


def test_a_reproducible_video_is_always_the_same_file(tmp_path):
    """x264 looks ahead differently from run to run where things move over a soft background."""
    y, x = np.mgrid[:120, :160]
    grain = np.random.default_rng(0).normal(0, 2, (4, 120, 160, 3))
    frames = []
    for i in range(4):
        disc = np.hypot(x - 70 - 3 * i, y - 60 - i)
        soft = (
            90
            + 40 * np.sin(x / 30)
            + 100 / (1 + np.exp(disc - 30))
            + 20 * np.sin((x - 3 * i) / 2) * (disc < 25)
        )
        frames.append(np.clip(soft[..., None] + grain[i], 0, 255).astype(np.uint8))
    files = set()
    for k in range(12):
        path = tmp_path / f"{k}.mp4"
        with write_video(path, (160, 120), 25.0, crf=12, reproducible=True) as write:
            for i, frame in enumerate(frames):
                write(frame, i / 25)
        files.add(path.read_bytes())
    assert len(files) == 1


def test_variable_frame_times_are_kept(tmp_path):
    times = np.array([0, 0.04, 0.05, 0.3, 0.31, 1.0])
    with read_video(make_video(tmp_path / "a.mp4", times)) as reader:
        np.testing.assert_allclose([f.time_s for f in reader], times, atol=1e-4)


def test_time_starts_with_the_first_frame(tmp_path):
    with read_video(make_video(tmp_path / "a.mkv", np.arange(4) / 25 + 7)) as reader:
        np.testing.assert_allclose([f.time_s for f in reader], np.arange(4) / 25, atol=2e-3)


@pytest.mark.parametrize("size", [(65, 48), (64, 47), (33, 35), (2, 2), (1, 1)])
def test_odd_sizes_are_padded_to_even_ones(tmp_path, size):
    path = make_video(tmp_path / "a.mp4", [0, 0.04], size)
    width, height = size
    assert read_image(path).shape == (height + height % 2, width + width % 2, 3)


@pytest.mark.parametrize(
    ("rotation", "hflip", "corner", "size"),
    [
        (0, False, (0, 0), (64, 48)),
        (90, False, (1, 0), (48, 64)),
        (180, False, (1, 1), (64, 48)),
        (270, False, (0, 1), (48, 64)),
        (0, True, (0, 1), (64, 48)),
    ],
)
def test_rotation_metadata_is_honoured(tmp_path, rotation, hflip, corner, size):
    """Rotation is counter-clockwise; corner: (row, column) end where the stored top-left corner shows."""
    with read_video(raw_video(tmp_path / "a.mp4", rotation, hflip)) as reader:
        assert reader.info.size == size
        image = next(reader).image
    assert image.shape == (size[1], size[0], 3)
    ends = [slice(0, 5), slice(-5, None)]
    assert image[ends[corner[0]], ends[corner[1]]].mean() > 200
    assert image.mean() < 80


def test_a_still_image_is_a_video_of_one_frame(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), picture()[..., ::-1])
    with read_video(tmp_path / "a.png") as reader:
        (frame,) = reader
    np.testing.assert_array_equal(frame.image, picture())
    assert reader.shortfall is None


def test_a_video_cut_short_gives_what_it_has(tmp_path):
    path = make_video(tmp_path / "a.mkv", np.arange(50) / 25, (320, 240))
    whole = path.read_bytes()
    (tmp_path / "b.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    with read_video(tmp_path / "b.mkv") as reader:
        count = len(list(reader))
    assert 5 < count < 50


def test_frames_that_the_container_promised_but_lacks_are_reported(tmp_path):
    """The index stands first in the file, then the data are cut: as a download that stopped."""
    path = tmp_path / "a.mp4"
    noise = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(40):
            image = noise.integers(0, 256, (240, 320, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode(None))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with read_video(path) as reader:
        count = len(list(reader))
    assert 5 < count < 35
    assert f"{count} of the 40 frames" in str(reader.shortfall)


def test_what_cannot_be_read_is_one_clear_line(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "noise.mp4").write_bytes(os.urandom(4000))
    (tmp_path / "text.txt").write_text("not a video at all\n" * 50)
    cases = {
        "missing.mp4": "does not exist",
        ".": "is a folder",
        "empty.mp4": "is empty",
        "noise.mp4": "not a video",
        "text.txt": "not a video",
    }
    for name, message in cases.items():
        with pytest.raises(VideoError, match=message) as e:
            read_video(tmp_path / name)
        assert "\n" not in str(e.value)


def test_sound_alone_is_refused(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 16000
        sound.time_base = Fraction(1, 16000)
        for i in range(8):
            sound.pts = 1024 * i
            container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no video stream"):
        read_video(path)


def test_an_error_while_writing_leaves_no_file(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text("before")

    def interrupted():
        with write_video(path, (64, 48), 25.0) as write:
            write(picture(), 0)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        interrupted()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_unwritable_places_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path, message in {
        tmp_path / "none" / "a.mp4": "does not exist",
        tmp_path / "file" / "a.mp4": "does not exist",
        tmp_path / "a.nonsense": "suffix '.nonsense'",
        tmp_path: "is a folder",
    }.items():
        with pytest.raises(OutputError, match=message), write_video(path, (64, 48), 25.0):
            pass


def test_decoding_holds_no_more_than_a_few_frames(tmp_path):
    path = make_video(tmp_path / "a.mp4", np.arange(60) / 25)
    seen, most_alive = [], 0
    with read_video(path) as reader:
        for frame in reader:
            seen.append(weakref.ref(frame.image))
            most_alive = max(most_alive, sum(ref() is not None for ref in seen))
    assert len(seen) == 60
    assert most_alive <= 3
