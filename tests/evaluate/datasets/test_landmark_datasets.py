"""Datasets of images and videos with landmarks: each is written in its own layout and read back."""

import sqlite3
from contextlib import closing

import cv2
import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate.datasets import read_dataset
from steadyface.evaluate.datasets.aflw2000_3d import yaw_binned
from steadyface.evaluate.datasets.ddfa_labels import FaceParameters, model_to_image
from steadyface.evaluate.datasets.ibug_300vw import TEST_VIDEOS
from steadyface.rotation import euler_from_matrix
from steadyface.video import write_video

rng = np.random.default_rng(0)


def write_pts(path, points):
    """As iBUG's tools do, pixels from one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{x + 1:.6f} {y + 1:.6f}\n" for x, y in points)
    path.write_text(f"version: 1\nn_points: {len(points)}\n{{\n{rows}}}\n")


def write_image(path, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), 128, np.uint8))


def points(count=68, frames=None):
    shape = (count, 2) if frames is None else (frames, count, 2)
    return np.round(rng.uniform(0, 60, shape), 6)


def write_clip(folder, landmarks, skip=()):
    folder.mkdir(parents=True)
    with write_video(folder / "vid.avi", (64, 48), 25) as write:
        for t in range(len(landmarks)):
            write(np.full((48, 64, 3), 20 * t, np.uint8), t / 25)
    for t, p in enumerate(landmarks):
        if t not in skip:
            write_pts(folder / "annot" / f"{t + 1:06d}.pts", p)


def test_300vw_has_the_challenge_s_videos():
    assert [len(TEST_VIDEOS[c]) for c in (1, 2, 3)] == [31, 19, 14]
    assert len(set(sum(TEST_VIDEOS.values(), ()))) == 64


def test_300vw_is_read_back(tmp_path):
    truth = points(68, 4)
    write_clip(tmp_path / "001", truth, skip=(2,))
    (clip,) = read_dataset("300vw", tmp_path, subset="train")
    assert (clip.name, clip.markup, len(clip), clip.attributes["category"]) == ("001", "ibug68", 4, 0)
    np.testing.assert_allclose(clip.landmarks[[0, 1, 3]], truth[[0, 1, 3]], atol=1e-9)
    assert np.isnan(clip.landmarks[2]).all()
    frames = list(clip.frames())
    assert [f.shape for f in frames] == [(48, 64, 3)] * 4
    assert frames[3].mean() == pytest.approx(60, abs=4)


def test_300vw_knows_its_tests_and_says_what_is_missing(tmp_path):
    write_clip(tmp_path / "001", points(68, 1))
    for name in TEST_VIDEOS[3]:
        write_clip(tmp_path / name, points(68, 1))
    clips = list(read_dataset("300VW", tmp_path, subset="category3"))
    assert [c.name for c in clips] == sorted(TEST_VIDEOS[3])
    assert {c.attributes["category"] for c in clips} == {3}
    assert [c.name for c in read_dataset("300vw", tmp_path, subset="train")] == ["001"]
    with pytest.raises(
        InputError, match=r"300VW: .*114/vid\.avi is missing; expected layout: ID/vid\.avi and"
    ):
        read_dataset("300vw", tmp_path)
    with pytest.raises(InputError, match="no subset 'easy': know test, category1"):
        read_dataset("300vw", tmp_path, subset="easy")


def test_a_video_shorter_than_its_annotation_says_so(tmp_path):
    write_clip(tmp_path / "001", points(68, 2))
    write_pts(tmp_path / "001" / "annot" / "000005.pts", points())
    (clip,) = read_dataset("300vw", tmp_path, subset="train")
    with pytest.raises(InputError, match="has 2 frames and 5 are annotated"):
        list(clip.frames())


def test_300w_is_read_back(tmp_path):
    truth = {f: points() for f in ("helen/testset/b_1", "lfpw/testset/image_0001", "ibug/image_003_1")}
    for name, p in truth.items():
        write_pts(tmp_path / f"{name}.pts", p)
        write_image(tmp_path / f"{name}.{'png' if 'lfpw' in name else 'jpg'}")
    samples = list(read_dataset("300w", tmp_path))
    assert [s.name for s in samples] == list(truth)
    for s in samples:
        np.testing.assert_allclose(s.landmarks, truth[s.name], atol=1e-9)
        assert s.image().shape == (48, 64, 3)
    assert [s.name for s in read_dataset("300w", tmp_path, subset="challenging")] == ["ibug/image_003_1"]
    with pytest.raises(InputError, match="300W/01_Indoor is missing"):
        read_dataset("300w", tmp_path, subset="test")
    (tmp_path / "ibug/image_003_1.jpg").unlink()
    with pytest.raises(InputError, match=r"image_003_1\.jpg or \.png is missing"):
        list(read_dataset("300w", tmp_path, subset="challenging"))


def test_wflw_is_read_back(tmp_path):
    p, box, flags = points(98), [3, 4, 50, 40], [1, 0, 0, 0, 1, 0]
    folder = tmp_path / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    folder.mkdir(parents=True)
    line = " ".join(map(str, [*p.ravel(), *box, *flags, "0--Parade/0_Parade_1.jpg"]))
    file = folder / "list_98pt_rect_attr_test.txt"
    file.write_text(f"{line}\n{line}\n")
    write_image(tmp_path / "WFLW_images" / "0--Parade" / "0_Parade_1.jpg")
    samples = list(read_dataset("wflw", tmp_path))
    assert len({s.name for s in samples}) == 2
    s = samples[0]
    np.testing.assert_allclose(s.landmarks, p)
    np.testing.assert_allclose(s.box, box)
    assert [k for k, v in s.attributes.items() if v] == ["pose", "occlusion"]
    assert s.image().shape == (48, 64, 3)
    file.write_text(line + " more\n")
    with pytest.raises(InputError, match="line 1: 208 columns where 207 are expected"):
        list(read_dataset("wflw", tmp_path))
    with pytest.raises(InputError, match=r"list_98pt_rect_attr_train\.txt is missing"):
        read_dataset("wflw", tmp_path, subset="train")


def test_3ddfa_rotations_are_ours_turn_by_turn():
    """Its yaw and pitch grow clockwise about x right, y up, ours to the subject's left and up; roll alike."""

    def angles(pitch, yaw, roll):
        p = FaceParameters(np.array([pitch, yaw, roll]), np.zeros(3), 1.0, np.zeros(199), np.zeros(29))
        assert np.linalg.det(p.rotation) == pytest.approx(1)
        return euler_from_matrix(p.rotation)

    np.testing.assert_allclose(angles(0, 0.4, 0), [0, -0.4, 0], atol=1e-12)
    np.testing.assert_allclose(angles(0.3, 0, 0), [0.3, 0, 0], atol=1e-12)
    np.testing.assert_allclose(angles(0, 0, 0.2), [0, 0, 0.2], atol=1e-12)
    # In its own frame a point ahead (z to the viewer) goes to the image's left with growing yaw.
    p = FaceParameters(np.array([0, 0.4, 0]), np.zeros(3), 1.0, np.zeros(199), np.zeros(29))
    assert p.to_image(np.array([[0, 0, 1.0]]), 100)[0, 0] == pytest.approx(-np.sin(0.4))


def face_mat(angles=(0.1, -0.7, 0.05), **more):
    pose = np.array([[*angles, 20.0, 15.0, -3.0, 1.5e-4]])
    return {
        "Pose_Para": pose,
        "Shape_Para": rng.normal(size=(199, 1)),
        "Exp_Para": rng.normal(size=(29, 1)),
        **more,
    }


def test_aflw2000_3d_is_read_back_with_y_flipped_from_the_model(tmp_path):
    io = pytest.importorskip("scipy.io")
    height = 48
    model = rng.uniform(0, 47, (68, 3))
    # The fitted points in the model's frame have y up from the lower edge; the file holds image rows.
    stored = np.stack([model[:, 0], height - model[:, 1] - 1, model[:, 2]])
    content = face_mat(pt3d_68=stored)
    io.savemat(tmp_path / "image00002.mat", content)
    write_image(tmp_path / "image00002.jpg")
    (s,) = read_dataset("aflw2000-3d", tmp_path)
    np.testing.assert_allclose(s.landmarks, model_to_image(model, height), atol=1e-12)
    np.testing.assert_allclose(s.landmarks[:, :2], stored[:2].T)
    assert (s.name, s.attributes["labels"]) == ("image00002", "original")
    assert s.attributes["yaw"] == pytest.approx(-0.7)
    assert euler_from_matrix(s.rotation)[1] == pytest.approx(0.7, abs=0.02)
    p = s.attributes["parameters"]
    np.testing.assert_allclose(p.shape, content["Shape_Para"].ravel())
    np.testing.assert_allclose(p.expression, content["Exp_Para"].ravel())
    np.testing.assert_allclose(p.translation, [20, 15, -3])
    # The model's origin lies at the translation, 15 pixels above the lower edge.
    np.testing.assert_allclose(p.to_image(np.zeros((1, 3)), height), [[20, 48 - 15 - 1, 3]])


def test_aflw2000_3d_reannotated_labels(tmp_path):
    io = pytest.importorskip("scipy.io")
    for i in (2, 4):
        io.savemat(tmp_path / f"image0000{i}.mat", face_mat(pt3d_68=np.zeros((3, 68))))
        write_image(tmp_path / f"image0000{i}.jpg")
    table = points(68, 2)
    with pytest.raises(InputError, match=r"AFLW2000-3D-Reannotated\.pts68\.npy is missing"):
        read_dataset("aflw2000-3d", tmp_path, labels="reannotated")
    np.save(tmp_path / "AFLW2000-3D-Reannotated.pts68.npy", table.transpose(0, 2, 1))
    samples = list(read_dataset("aflw2000-3d", tmp_path, labels="reannotated"))
    for s, p in zip(samples, table, strict=True):
        np.testing.assert_allclose(s.landmarks, p)
        assert s.attributes["labels"] == "reannotated"
    np.save(tmp_path / "AFLW2000-3D-Reannotated.pts68.npy", table[:1].transpose(0, 2, 1))
    with pytest.raises(InputError, match=r"must be \(2, 2 or 3, 68\)"):
        read_dataset("aflw2000-3d", tmp_path, labels="reannotated")


def test_yaw_bins_worked_by_hand():
    """Errors 1, 3 | 10 | 20: bins 2, 10, 20, mean 32/3, where the mean of the images would be 8.5."""
    bins, mean = yaw_binned([1, 3, 10, 20], np.deg2rad([-30, 0, 31, -95]))
    np.testing.assert_allclose(bins, [2, 10, 20])
    assert mean == pytest.approx(32 / 3)
    assert np.isnan(yaw_binned([1.0], [0.0])[1])


def test_300w_lp_is_read_back(tmp_path):
    io = pytest.importorskip("scipy.io")
    flat, deep = points(), points()
    for folder in ("AFW", "AFW_Flip"):
        write_image(tmp_path / folder / "AFW_1_0.jpg")
        io.savemat(tmp_path / folder / "AFW_1_0.mat", face_mat(pt2d=flat.T))
    place = tmp_path / "landmarks" / "AFW"
    place.mkdir(parents=True)
    io.savemat(place / "AFW_1_0_pts.mat", {"pts_2d": flat, "pts_3d": deep})
    samples = list(read_dataset("300w-lp", tmp_path, folders=("AFW",), flipped=True))
    assert [s.name for s in samples] == ["AFW/AFW_1_0", "AFW_Flip/AFW_1_0"]
    assert [s.attributes["flipped"] for s in samples] == [False, True]
    np.testing.assert_allclose(samples[0].landmarks, flat)
    (s,) = read_dataset("300w-lp", tmp_path, folders=("AFW",), points="3d")
    np.testing.assert_allclose(s.landmarks, deep)
    with pytest.raises(InputError, match="HELEN is missing"):
        read_dataset("300w-lp", tmp_path)
    with pytest.raises(InputError, match="no folder 'XM2VTS': know AFW, HELEN, IBUG, LFPW"):
        read_dataset("300w-lp", tmp_path, folders=("XM2VTS",))
    with pytest.raises(InputError, match="know 2d, 3d"):
        read_dataset("300w-lp", tmp_path, points="4d")


def test_aflw_is_read_back_with_hidden_points_missing(tmp_path):
    (tmp_path / "data" / "flickr" / "0").mkdir(parents=True)
    database = tmp_path / "data" / "aflw.sqlite"
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("CREATE TABLE Faces (face_id INTEGER, file_id TEXT, db_id TEXT)")
        db.execute("CREATE TABLE FaceImages (image_id INTEGER, file_id TEXT, filepath TEXT)")
        db.execute("CREATE TABLE FeatureCoords (face_id INTEGER, feature_id INTEGER, x REAL, y REAL)")
        db.execute("CREATE TABLE FaceRect (face_id INTEGER, x INTEGER, y INTEGER, w INTEGER, h INTEGER)")
        db.execute("CREATE TABLE FacePose (face_id INTEGER, roll REAL, pitch REAL, yaw REAL)")
        db.execute("INSERT INTO FaceImages VALUES (1, 'image1.jpg', '0/image1.jpg')")
        db.executemany("INSERT INTO Faces VALUES (?, 'image1.jpg', 'flickr')", [(39342,), (39341,)])
        db.executemany(
            "INSERT INTO FeatureCoords VALUES (39341, ?, ?, ?)", [(1, 10.5, 20), (15, 30, 31.5), (21, 33, 60)]
        )
        db.execute("INSERT INTO FaceRect VALUES (39341, 5, 6, 70, 80)")
        db.execute("INSERT INTO FacePose VALUES (39341, 0.1, -0.2, 1.3)")
    write_image(tmp_path / "data" / "flickr" / "0" / "image1.jpg")
    first, second = read_dataset("aflw", tmp_path)
    assert np.flatnonzero(first.visible).tolist() == [0, 14, 20]
    np.testing.assert_allclose(first.landmarks[first.visible], [[10.5, 20], [30, 31.5], [33, 60]])
    assert np.isnan(first.landmarks[~first.visible]).all()
    np.testing.assert_allclose(first.box, [5, 6, 75, 86])
    assert first.attributes == {"face_id": 39341, "roll": 0.1, "pitch": -0.2, "yaw": 1.3}
    assert first.image().shape == (48, 64, 3)
    assert second.box is None
    assert not second.visible.any()
    database.write_text("no database")
    with pytest.raises(InputError, match="is not AFLW's database"):
        list(read_dataset("aflw", tmp_path))


def test_menpo_3d_is_read_back_whole_and_as_a_subset(tmp_path):
    truth = points(84, 2)
    write_clip(tmp_path / "037", truth)
    (clip,) = read_dataset("menpo-3d", tmp_path)
    assert clip.markup == "menpo84"
    np.testing.assert_allclose(clip.landmarks, truth, atol=1e-9)
    chosen = rng.permutation(84)[:68]
    (clip,) = read_dataset("menpo-3d", tmp_path, ibug68=chosen)
    assert clip.markup == "ibug68"
    np.testing.assert_allclose(clip.landmarks, truth[:, chosen], atol=1e-9)
    with pytest.raises(InputError, match="has 84 points where 68 are expected"):
        list(read_dataset("menpo-3d", tmp_path, points=68))
    with pytest.raises(InputError, match="68 indices below 84"):
        read_dataset("menpo-3d", tmp_path, ibug68=np.arange(67))
    with pytest.raises(InputError, match="holds no video; expected layout"):
        read_dataset("menpo-3d", tmp_path / "037")


def test_snap_2dfe_is_read_back_by_split_and_camera(tmp_path):
    truth = points(68, 3)
    for subject in ("3", "09"):
        for camera in ("fixed", "head_mounted"):
            folder = tmp_path / subject / "yaw" / "surprise" / camera
            for t, p in enumerate(truth):
                write_pts(folder / f"{t:04d}.pts", p)
                write_image(folder / f"{t:04d}.png")
    (clip,) = read_dataset("snap-2dfe", tmp_path)
    assert clip.name == "9/yaw/surprise/fixed"
    assert clip.attributes == {"subject": 9, "movement": "yaw", "expression": "surprise", "camera": "fixed"}
    np.testing.assert_allclose(clip.landmarks, truth, atol=1e-9)
    assert len(list(clip.frames())) == len(clip) == 3
    everything = read_dataset("snap-2dfe", tmp_path, subset="all", cameras=("fixed", "head_mounted"))
    assert len(list(everything)) == 4
    with pytest.raises(InputError, match="1/static/neutral/fixed is missing"):
        read_dataset("snap-2dfe", tmp_path, subset="validation")
    with pytest.raises(InputError, match="no camera 'left': know head_mounted, fixed"):
        read_dataset("snap-2dfe", tmp_path, cameras=("left",))


def write_table(folder, count=3, **more):
    (folder / "images").mkdir(parents=True)
    names = np.array([f"g{i:06d}.jpg" for i in range(count)])
    for n in names:
        write_image(folder / "images" / n)
    xyz = rng.integers(0, 64 * 32, (count, 478, 3)).astype(np.int16)
    np.savez(folder / "landmarks478.npz", names=names, xyz=xyz, side=np.full(count, 64, np.int16), **more)
    return xyz


def test_our_portraits_are_read_back(tmp_path):
    xyz = write_table(tmp_path, flip_consistency=np.array([0.01, 0.02, 0.03], np.float32))
    samples = list(read_dataset("portraits", tmp_path))
    assert [s.name for s in samples] == ["g000000.jpg", "g000001.jpg", "g000002.jpg"]
    # 1/32 pixel from the image's edge; the first pixel's centre is half a pixel from it, depth has no edge.
    np.testing.assert_allclose(samples[1].landmarks[:, :2] + 0.5, xyz[1, :, :2] / 32)
    np.testing.assert_allclose(samples[1].landmarks[:, 2], xyz[1, :, 2] / 32)
    assert samples[1].attributes == {"side": 64, "flip_consistency": pytest.approx(0.02)}
    assert samples[2].image().shape == (48, 64, 3)
    assert next(iter(read_dataset("london_smiling", tmp_path))).dataset == "london_smiling"


def test_our_videos_are_read_back(tmp_path):
    truth = rng.uniform(0, 60, (3, 478, 3)).astype(np.float32)
    np.savez(tmp_path / "mediapipe478.npz", a=truth)
    with pytest.raises(InputError, match=r"a\.mp4 is missing"):
        read_dataset("videos", tmp_path)
    with write_video(tmp_path / "a.mp4", (64, 48), 25) as write:
        for t in range(5):
            write(np.zeros((48, 64, 3), np.uint8), t / 25)
    (clip,) = read_dataset("videos", tmp_path)
    np.testing.assert_allclose(clip.landmarks, truth - [0.5, 0.5, 0], atol=1e-5)
    # The container may promise more frames than have points.
    assert len(list(clip.frames())) == 3
