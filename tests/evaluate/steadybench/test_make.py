import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from steadyface.errors import OutputError
from steadyface.evaluate.datasets import read_dataset
from steadyface.evaluate.steadybench import make as m
from steadyface.evaluate.steadybench.cast import build_cast
from steadyface.evaluate.steadybench.contact_sheet import contact_sheet, preview, save_sheet
from steadyface.evaluate.steadybench.plan import make_plan

FRAMES, SIZE = 3, (160, 120)


@pytest.fixture(scope="module")
def plan():
    return make_plan(clips=6, frames=FRAMES, size=SIZE)


@pytest.fixture(scope="module")
def root(plan, tmp_path_factory):
    """Six clips filmed by two processes."""
    steps = []
    root = tmp_path_factory.mktemp("bench") / "steadybench"
    m.make_steadybench(root, plan, processes=2, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(k * FRAMES, 6 * FRAMES) for k in range(7)]
    return root


def test_a_small_benchmark_is_filmed_and_read_back(root, plan):
    clips = list(read_dataset("steadybench", root))
    assert [c.name for c in clips] == [p.name for p in plan]
    for clip, p in zip(clips, plan, strict=True):
        images = np.stack(list(clip.frames())).astype(float)
        assert images.shape == (FRAMES, SIZE[1], SIZE[0], 3)
        # Something is in the picture, and what is known of it is inside.
        assert images.std() > 10
        assert (clip.landmarks[..., :2] >= 0).all()
        assert (clip.landmarks[..., :2] < SIZE).all()
        assert 0.2 < clip.attributes["truth"].visible.mean() < 0.7
        assert (clip.attributes["condition"], clip.attributes["tone"]) == (p.condition, p.tone)
    table = json.loads((root / "steadybench.json").read_text())
    assert (table["textures"], table["seed"], table["model"]) == ("mean", 0, "anny")
    assert not list(root.glob(".*"))


@pytest.fixture(scope="module")
def cast():
    return build_cast()


def test_one_plan_gives_one_film(root, plan, cast, tmp_path):
    for p in plan[:1] + plan[-1:]:
        m.film_clip(p, cast, tmp_path)
        for file in ("video.mp4", "truth.npz"):
            assert (tmp_path / p.name / file).read_bytes() == (root / p.name / file).read_bytes()
    other = replace(plan[0], name="other", seed=plan[0].seed + 1)
    m.film_clip(other, cast, tmp_path)
    assert (tmp_path / "other" / "video.mp4").read_bytes() != (root / plan[0].name / "video.mp4").read_bytes()


def plain_film(script, *_, figure, frames):
    for _ in range(len(script)):
        yield np.zeros((SIZE[1], SIZE[0], 3), np.uint8), np.ones(script.model.vertex_count, bool)


def test_what_is_there_is_kept_and_the_rest_is_filmed_again(plan, cast, tmp_path, monkeypatch):
    filmed = []

    def film_and_tell(p, cast, root):
        filmed.append(p.name)
        film_clip(p, cast, root)

    film_clip = m.film_clip
    monkeypatch.setattr(m, "film", plain_film)
    monkeypatch.setattr(m, "film_clip", film_and_tell)
    monkeypatch.setattr(m, "build_cast", lambda *_: cast)
    two = plan[:2]
    for _ in range(2):
        m.make_steadybench(tmp_path, two, processes=1)
    assert filmed == [p.name for p in two]
    # Another plan under the same name, and a clip without its video.
    changed = [replace(two[0], tone=0.99), two[1]]
    (tmp_path / two[1].name / "video.mp4").unlink()
    m.make_steadybench(tmp_path, changed, processes=1)
    assert filmed == [p.name for p in two] * 2
    assert json.loads((tmp_path / "steadybench.json").read_text())["clips"][0]["tone"] == 0.99


def test_an_interruption_leaves_whole_clips_and_no_table(plan, cast, tmp_path, monkeypatch):
    begun = []

    def broken(script, *args, **options):
        begun.append(script)
        frames = plain_film(script, *args, **options)
        yield next(frames)
        if len(begun) == 2:
            raise KeyboardInterrupt
        yield from frames

    monkeypatch.setattr(m, "film", broken)
    monkeypatch.setattr(m, "build_cast", lambda *_: cast)
    with pytest.raises(KeyboardInterrupt):
        m.make_steadybench(tmp_path, plan[:3], processes=1)
    assert [p.name for p in tmp_path.iterdir()] == [plan[0].name]


def test_a_root_that_cannot_be_written_is_an_error(plan, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the folder"):
        m.make_steadybench(tmp_path / "file" / "x", plan)


def test_the_contact_sheet_shows_a_frame_of_every_clip(root, tmp_path):
    sheet = contact_sheet(root, columns=4, width=80)
    assert sheet.shape == (2 * 60, 4 * 80, 3)
    # Two rows of four tiles, of which six are filled.
    assert sheet[60:, 160:].max() == 0
    assert all(sheet[60 * r : 60 * r + 60, 80 * c : 80 * c + 80].std() > 5 for r, c in ((0, 3), (1, 1)))
    marked = contact_sheet(root, columns=4, width=80, landmarks=True)
    assert (marked != sheet).any()
    save_sheet(contact_sheet(root, columns=3, width=160), tmp_path / "sheet.jpg", most_bytes=30_000)
    assert (tmp_path / "sheet.jpg").stat().st_size <= 30_000
    assert cv2.imread(str(tmp_path / "sheet.jpg")).shape == (240, 480, 3)


def test_a_preview_shows_what_will_be_filmed(root, plan, cast):
    early = preview(plan[1:2], cast, columns=1, width=160)
    filmed = contact_sheet(root, columns=1, width=160)[120:240]
    # The video is compressed, the preview is not.
    assert np.abs(early.astype(int) - filmed).mean() < 3
