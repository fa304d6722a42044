"""Datasets with scans or tracked meshes: each is written in its own layout and read back."""

import json

import cv2
import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate.datasets import Mesh, read_dataset
from steadyface.evaluate.datasets.multiface import read_krt
from steadyface.evaluate.datasets.now import read_prediction, write_prediction
from steadyface.evaluate.surface_metrics import KEYPOINTS_7
from steadyface.rotation import matrix_from_axis_angle

rng = np.random.default_rng(0)
VERTICES = np.array([[0, 0, 0], [40, 0, 0], [40, 60, 10], [0, 60, -5.0]])
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]])


def write_obj(path, vertices=VERTICES):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"v {x} {y} {z}" for x, y, z in vertices] + ["vt 0 0"] * 4 + ["f 1/1 2/2 3/3", "f 1/1 3/3 4/4"]
    path.write_text("\n".join(lines))


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((48, 64, 3), np.uint8))


def multiface(root):
    """Two frames of one expression from two cameras; the second frame has vertices alone."""
    folder = root / "m--20180227--0000--6795937--GHS"
    k = np.array([[7000, 0, 660.5], [0, 7001, 1024.25], [0, 0, 1]])
    rt = np.hstack([matrix_from_axis_angle(np.array([0.1, -0.4, 0.02])), [[5.0], [-7], [1000]]])
    folder.mkdir()
    text = ""
    for camera in ("400002", "400004"):
        rows = [*k, [0.01, 0, 0, 0, 0], *rt]
        text += camera + "\n" + "".join(" ".join(map(repr, map(float, r))) + "\n" for r in rows) + "\n"
    (folder / "KRT").write_text(text)
    (folder / "frame_list.txt").write_text(
        "E001_Neutral_Eyes_Open 000102\nE001_Neutral_Eyes_Open 000105\nE002_Swallow 000200\n"
    )
    meshes = folder / "tracked_mesh" / "E001_Neutral_Eyes_Open"
    write_obj(meshes / "000102.obj")
    (VERTICES + 2).astype("<f4").tofile(meshes / "000105.bin")
    poses = [np.hstack([matrix_from_axis_angle(np.array([0, a, 0])), [[a], [2], [3]]]) for a in (0.1, 0.2)]
    for frame, pose in zip(("000102", "000105"), poses, strict=True):
        np.savetxt(meshes / f"{frame}_transform.txt", pose)
        for camera in ("400002", "400004"):
            write_image(folder / "images" / "E001_Neutral_Eyes_Open" / camera / f"{frame}.png")
    return k, rt, poses


def test_multiface_is_read_back(tmp_path):
    k, rt, poses = multiface(tmp_path)
    clips = list(read_dataset("multiface", tmp_path))
    assert [c.name for c in clips] == [
        "6795937/E001_Neutral_Eyes_Open/400002",
        "6795937/E001_Neutral_Eyes_Open/400004",
    ]
    clip = clips[0]
    assert (len(clip), clip.fps, clip.landmarks) == (2, 30, None)
    assert clip.attributes["frames"] == ("000102", "000105")
    assert clip.attributes["stored_distortion"][0] == 0.01
    assert [f.shape for f in clip.frames()] == [(48, 64, 3)] * 2
    for t, (vertices, pose) in enumerate(zip((VERTICES, VERTICES + 2), poses, strict=True)):
        mesh = clip.mesh(t)
        world = np.hstack([vertices, np.ones((4, 1))]) @ pose.T
        np.testing.assert_allclose(mesh.vertices, world, atol=1e-5)
        np.testing.assert_array_equal(mesh.triangles, TRIANGLES)
        image = np.hstack([world, np.ones((4, 1))]) @ rt.T @ k.T
        np.testing.assert_allclose(clip.calibration.project(world), image[:, :2] / image[:, 2:], atol=1e-6)


def test_multiface_says_what_is_missing_or_unknown(tmp_path):
    with pytest.raises(InputError, match=r"m--\*--\*?-?-?GHS is missing; expected layout"):
        read_dataset("multiface", tmp_path)
    multiface(tmp_path)
    folder = tmp_path / "m--20180227--0000--6795937--GHS"
    with pytest.raises(InputError, match="no camera '7' there: know 400002, 400004"):
        read_dataset("multiface", tmp_path, cameras=["7"])
    with pytest.raises(InputError, match="no subject '1' there: know 6795937"):
        read_dataset("multiface", tmp_path, subjects=["1"])
    (clip,) = read_dataset("multiface", tmp_path, cameras=["400002"])
    (folder / "tracked_mesh" / "E001_Neutral_Eyes_Open" / "000105.bin").unlink()
    with pytest.raises(InputError, match=r"000105\.bin is missing"):
        clip.mesh(1)
    np.zeros(5, "<f4").tofile(folder / "tracked_mesh" / "E001_Neutral_Eyes_Open" / "000105.bin")
    with pytest.raises(InputError, match="5 numbers where 12 are expected"):
        clip.mesh(1)
    (folder / "KRT").write_text("400002\n1 0 0\n0 1 0\n")
    with pytest.raises(InputError, match="is not a KRT file"):
        read_krt(folder / "KRT")
    (folder / "KRT").unlink()
    with pytest.raises(InputError, match="KRT is missing; expected layout"):
        read_dataset("multiface", tmp_path)


def test_facescape_is_read_back_without_invalid_views(tmp_path):
    folder = tmp_path / "img" / "122" / "2_smile"
    k = [[2000, 0, 32, 0], [0, 2000, 24, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    rt = np.hstack([np.eye(3), [[0], [0], [500]]]).tolist()
    parameters = {}
    for view, valid in ((0, True), (1, False), (10, True)):
        parameters |= {f"{view}_K": k, f"{view}_Rt": rt, f"{view}_distortion": [0.1, 0, 0, 0, 0]}
        parameters |= {f"{view}_valid": valid, f"{view}_width": 64, f"{view}_height": 48}
        write_image(folder / f"{view}.jpg")
    (folder / "params.json").write_text(json.dumps(parameters))
    scan = tmp_path / "mesh" / "122" / "2_smile.ply"
    with pytest.raises(InputError, match="mesh is missing"):
        read_dataset("facescape", tmp_path)
    scan.parent.mkdir(parents=True)
    rows = "".join(f"{x} {y} {z}\n" for x, y, z in VERTICES) + "3 0 1 2\n3 0 2 3\n"
    scan.write_text(
        "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face 2\nproperty list uchar int vertex_indices\nend_header\n{rows}"
    )
    samples = list(read_dataset("facescape", tmp_path))
    assert [s.name for s in samples] == ["122/2_smile/0", "122/2_smile/10"]
    s = samples[1]
    np.testing.assert_array_equal(s.mesh().vertices, VERTICES)
    np.testing.assert_array_equal(s.mesh().triangles, TRIANGLES)
    assert s.image().shape == (48, 64, 3)
    # (50, 0, 0) is at 0.1 of the focal length; k1 = 0.1 moves it by a factor of 1 + 0.1 x 0.01.
    np.testing.assert_allclose(s.calibration.project(np.array([50, 0, 0.0])), [32 + 200 * 1.001, 24])
    assert s.attributes == {"subject": "122", "expression": "2_smile", "view": 10}
    (folder / "params.json").write_text(json.dumps({"0_valid": True}))
    with pytest.raises(InputError, match=r"not FaceScape's params\.json: KeyError\('0_K'\)"):
        list(read_dataset("facescape", tmp_path))


def now(root, subset="validation"):
    line = "FaMoS_180424_03335_TA/multiview_neutral/IMG_0041.jpg"
    (root / f"imagepaths{subset}.txt").write_text(f"{line}\n{line.replace('0041', '0042')}\n")
    for n in ("0041", "0042"):
        write_image(root / "iphone_pictures" / line.replace("0041", n))
    return line.split("/")[0]


def test_now_is_read_back(tmp_path):
    subject = now(tmp_path)
    with pytest.raises(InputError, match=r"scans/FaMoS_180424_03335_TA/\*\.obj is missing"):
        read_dataset("now", tmp_path)
    write_obj(tmp_path / "scans" / subject / "natural_head.000001.obj")
    keypoints = np.round(rng.normal(size=(7, 3)), 4)
    picked = tmp_path / "scans_lmks_onlypp" / subject / "natural_head_picked_points.pp"
    picked.parent.mkdir(parents=True)
    rows = "".join(
        f'<point x="{x}" y="{y}" z="{z}" name="{i}" active="1"/>' for i, (x, y, z) in enumerate(keypoints)
    )
    picked.write_text(f"<PickedPoints>{rows}</PickedPoints>")
    samples = list(read_dataset("now", tmp_path))
    assert [s.name for s in samples] == [f"{subject}/multiview_neutral/IMG_004{i}" for i in (1, 2)]
    s = samples[0]
    np.testing.assert_array_equal(s.mesh().vertices, VERTICES)
    np.testing.assert_array_equal(s.attributes["scan_keypoints"], keypoints)
    assert len(KEYPOINTS_7) == 7
    assert s.attributes["challenge"] == "multiview_neutral"
    assert s.image().shape == (48, 64, 3)
    picked.write_text(f"<PickedPoints>{rows}{rows}</PickedPoints>")
    with pytest.raises(InputError, match="must hold 7 points, got 14"):
        read_dataset("now", tmp_path)


def test_now_s_test_set_has_no_scans(tmp_path):
    now(tmp_path, "test")
    s, _ = read_dataset("now", tmp_path, subset="test")
    assert s.mesh is None
    assert s.attributes["scan_keypoints"] is None
    (tmp_path / "imagepathstest.txt").write_text("IMG_0041.jpg\n")
    with pytest.raises(InputError, match="must list SUBJECT/CHALLENGE/NAME"):
        read_dataset("now", tmp_path, subset="test")


def test_now_submissions_are_written_and_read_back(tmp_path):
    now(tmp_path, "test")
    sample = next(iter(read_dataset("now", tmp_path, subset="test")))
    keypoints = rng.normal(size=(7, 3))
    path = write_prediction(tmp_path / "out", sample, Mesh(VERTICES / 3, TRIANGLES), keypoints)
    assert path == tmp_path / "out" / "FaMoS_180424_03335_TA" / "multiview_neutral" / "IMG_0041.obj"
    mesh, points = read_prediction(tmp_path / "out", sample)
    np.testing.assert_allclose(mesh.vertices, VERTICES / 3, rtol=1e-6)
    np.testing.assert_array_equal(mesh.triangles, TRIANGLES)
    np.testing.assert_array_equal(points, keypoints)
    path.with_suffix(".npy").unlink()
    with pytest.raises(InputError, match=r"IMG_0041\.npy is missing"):
        read_prediction(tmp_path / "out", sample)
    np.savetxt(path.with_suffix(".txt"), keypoints)
    np.testing.assert_allclose(read_prediction(tmp_path / "out", sample)[1], keypoints)
    with pytest.raises(InputError, match="7 finite points"):
        write_prediction(tmp_path / "out", sample, mesh, keypoints[:6])


def test_florence_is_read_back_in_the_render_s_pixels(tmp_path):
    scan = tmp_path / "subject_01" / "Model" / "frontal1" / "obj" / "110920150452.obj"
    render = tmp_path / "renders" / "subject_01" / "yaw_40.png"
    write_image(render)
    with pytest.raises(InputError, match=r"frontal1/obj/\*\.obj is missing"):
        read_dataset("florence", tmp_path)
    write_obj(scan)
    half = [[0.5, 0, 0, 10], [0, 0.5, 0, 20], [0, 0, 0.5, 0]]
    np.savetxt(render.with_suffix(".txt"), half)
    (sample,) = read_dataset("florence", tmp_path)
    np.testing.assert_allclose(sample.mesh().vertices, VERTICES / 2 + [10, 20, 0])
    np.testing.assert_allclose(sample.attributes["scan"]().vertices, VERTICES)
    assert (sample.name, sample.attributes["subject"]) == ("subject_01/yaw_40", "subject_01")
    np.savetxt(render.with_suffix(".txt"), np.eye(3))
    with pytest.raises(InputError, match="3 lines of 4 numbers"):
        list(read_dataset("florence", tmp_path))
    render.with_suffix(".txt").unlink()
    with pytest.raises(InputError, match=r"yaw_40\.txt is missing"):
        list(read_dataset("florence", tmp_path))
