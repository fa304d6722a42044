import numpy as np
import pytest
from scene import SIZE, Scene, moving_face, nothing, seen_during, still_face

from steadyface.errors import InputError
from steadyface.live import LiveSettings, LiveTracker

FPS = 30


def run(scene, model, count, **options):
    options.setdefault("max_faces", 1)
    with LiveTracker(model=model, detector=scene.detector, regressor=scene.regressor, **options) as live:
        return [live(scene.image(i), i / FPS) for i in range(count)]


def ids(frames):
    return [[f.face_id for f in faces] for faces in frames]


def error_px(scene, model, frames, start=0):
    worst = 0.0
    for i, faces in enumerate(frames[start:], start):
        for truth, face in zip(scene.truth(i), faces, strict=True):
            expected = truth.project(model.landmarks("ibug68"))
            worst = max(worst, np.linalg.norm((face.landmarks() - expected)[:, :2], axis=-1).max())
    return worst


def test_a_still_face_is_followed_without_further_detection(tiny_model):
    scene = Scene([still_face(tiny_model)])
    frames = run(scene, tiny_model, 40)
    assert ids(frames) == [[0]] * 40
    assert scene.detector_calls == [0]
    # Twice after the detection, once a frame afterwards.
    assert scene.regressor_calls == [0, *range(40)]
    assert error_px(scene, tiny_model, frames) < 1e-6


def test_a_moving_face_is_followed(tiny_model):
    scene = Scene([moving_face(tiny_model, (2.0, 0.5), center=(80, 100))])
    frames = run(scene, tiny_model, 60)
    assert ids(frames) == [[0]] * 60
    assert error_px(scene, tiny_model, frames, 10) < 3
    assert len(scene.detector_calls) == 1


def test_one_frame_gives_landmarks_vertices_and_expressions(tiny_model):
    scene = Scene([still_face(tiny_model)])
    (face,) = run(scene, tiny_model, 1)[0]
    assert face.landmarks("mediapipe478").shape == (478, 3)
    assert face.vertices().shape == (tiny_model.vertex_count, 3)
    np.testing.assert_allclose(face.expression, scene.truth(0)[0].expression)
    assert face.confidence > 0.8


def test_an_aligner_with_a_memory_forgets_when_no_face_is_followed(tiny_model):
    scene = Scene([seen_during(still_face(tiny_model), (0, 6), (9, 20))])
    now, forgotten = [0], []

    class Remembering:
        def __call__(self, image, crops):
            return scene.regressor(image, crops)

        def reset(self):
            forgotten.append(now[0])

    live = LiveTracker(model=tiny_model, detector=scene.detector, regressor=Remembering())
    for video in range(2):
        with live:
            for i in range(16):
                now[0] = i
                # A face that is lost is looked for at once.
                assert bool(live(scene.image(i), 100 * video + i)) == bool(scene.truth(i))
    assert forgotten == [0, 7, 8, 9] * 2


def test_a_face_that_leaves_is_lost_and_looked_for(tiny_model):
    scene = Scene([seen_during(still_face(tiny_model), (0, 10))])
    frames = run(scene, tiny_model, 20)
    assert ids(frames) == [[0]] * 10 + [[]] * 10
    assert scene.detector_calls == [0, *range(10, 20)]


def test_a_face_hidden_for_a_moment_keeps_its_id(tiny_model):
    scene = Scene([seen_during(still_face(tiny_model), (0, 10), (16, 30))])
    assert ids(run(scene, tiny_model, 30)) == [[0]] * 10 + [[]] * 6 + [[0]] * 14


def test_a_face_hidden_for_long_is_a_new_one(tiny_model):
    scene = Scene([seen_during(still_face(tiny_model), (0, 10), (60, 65))])
    assert ids(run(scene, tiny_model, 65))[60:] == [[1]] * 5


def test_a_face_that_jumps_far_is_found_again(tiny_model):
    left, right = (still_face(tiny_model, center=(x, 120), scale=0.4) for x in (70, 250))
    scene = Scene([seen_during(left, (0, 5)), seen_during(right, (5, 10))])
    frames = run(scene, tiny_model, 10)
    assert [len(f) for f in frames] == [1] * 10
    assert error_px(scene, tiny_model, frames) < 1


def test_two_faces_keep_their_ids(tiny_model):
    scene = Scene(
        [
            moving_face(tiny_model, (0.5, 0), center=(80, 120), scale=0.35),
            moving_face(tiny_model, (0, 0.4), center=(240, 110), scale=0.35, seed=1),
        ]
    )
    frames = run(scene, tiny_model, 60, max_faces=2)
    assert ids(frames) == [[0, 1]] * 60
    assert len(scene.detector_calls) == 1


def test_a_second_face_is_found_while_the_first_is_followed(tiny_model):
    scene = Scene(
        [
            still_face(tiny_model, center=(80, 120), scale=0.35),
            seen_during(still_face(tiny_model, center=(240, 120), scale=0.35, seed=1), (20, 99)),
        ]
    )
    frames = ids(run(scene, tiny_model, 60, max_faces=3))
    assert frames[19] == [0]
    assert frames[20 + FPS // 2] == [0, 1]
    assert frames[-1] == [0, 1]
    # A look each half second, not each frame.
    assert len(scene.detector_calls) == 4


def test_no_more_faces_than_wanted(tiny_model):
    scene = Scene([still_face(tiny_model, center=(60 + 100 * i, 120), scale=0.25, seed=i) for i in range(3)])
    assert {len(f) for f in run(scene, tiny_model, 5, max_faces=2)} == {2}


def test_faces_that_meet_do_not_become_one_track_twice(tiny_model):
    """The second face walks behind the first: the older id stays, and is never held by two."""
    scene = Scene(
        [
            still_face(tiny_model, center=(120, 120), scale=0.35),
            seen_during(moving_face(tiny_model, (-2.0, 0), center=(240, 120), scale=0.35, seed=1), (0, 50)),
        ]
    )
    frames = ids(run(scene, tiny_model, 80, max_faces=2))
    assert frames[0] == [0, 1]
    assert all(f[0] == 0 and len(set(f)) == len(f) for f in frames)
    assert frames[-1] == [0]


def test_a_doubtful_detection_is_not_a_face(tiny_model):
    scene = Scene([still_face(tiny_model)])

    def unsure(image, crops):
        return [nothing(c, tiny_model.identity_count, tiny_model.expression_count) for c in crops]

    with LiveTracker(model=tiny_model, detector=scene.detector, regressor=unsure) as live:
        assert live(scene.image(0), 0.0) == []


@pytest.mark.parametrize("bad", ["nan", "huge", "far", "vague"])
def test_an_impossible_result_loses_the_face(tiny_model, bad):
    from dataclasses import replace

    scene = Scene([still_face(tiny_model)])
    changes = {
        "nan": {"translation": np.array([np.nan, 0])},
        "huge": {"scale": 1e4},
        "far": {"translation": np.array([9e5, 0])},
        "vague": {"landmark_sigma": np.full(68, 1e3)},
    }[bad]

    def broken(image, crops):
        results = scene.regressor(image, crops)
        return [replace(a, **changes) for a in results] if scene.index(image) == 5 else results

    with LiveTracker(model=tiny_model, detector=scene.detector, regressor=broken) as live:
        frames = [live(scene.image(i), i / FPS) for i in range(8)]
    assert ids(frames) == [[0]] * 5 + [[]] + [[0]] * 2


def test_noise_is_smoothed(tiny_model):
    scene = Scene([still_face(tiny_model)], noise=0.1)
    frames = run(scene, tiny_model, 150)
    raw = np.stack([f[0].measured.project(tiny_model.landmarks("ibug68")) for f in frames])
    smooth = np.stack([f[0].landmarks() for f in frames])
    assert np.diff(smooth, axis=0).std() < 0.7 * np.diff(raw, axis=0).std()


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (7680, 4320)])
def test_images_of_any_size(tiny_model, size):
    scene = Scene([])
    with LiveTracker(model=tiny_model, detector=lambda image: [], regressor=scene.regressor) as live:
        assert live(np.zeros((size[1], size[0], 3), np.uint8), 0.0) == []


def test_images_of_other_kinds_are_refused_with_the_conversion(tiny_model):
    scene = Scene([still_face(tiny_model)])
    width, height = SIZE
    with LiveTracker(model=tiny_model, detector=scene.detector, regressor=scene.regressor) as live:
        for image, message in (
            (np.zeros((height, width), np.uint8), r"it is grey; convert it by image\[..., None\].repeat"),
            (np.zeros((height, width, 1), np.uint8), r"it is grey; convert it by image.repeat"),
            (np.zeros((height, width, 4), np.uint8), r"alpha channel; drop it by image\[..., :3\]"),
            (np.zeros((height, width, 3), np.float32), "float32: scale it to 0..255"),
            (np.zeros((height, width, 5), np.uint8), r"got shape \(240, 320, 5\)"),
            (np.zeros((0, 5, 3), np.uint8), "no pixels"),
            ([[1, 2], [3, 4]], "got list"),
        ):
            with pytest.raises(InputError, match=message):
                live(image, 0.0)


def test_time_must_be_a_number_and_faces_at_least_one(tiny_model):
    scene = Scene([still_face(tiny_model)])
    with (
        LiveTracker(model=tiny_model, detector=scene.detector, regressor=scene.regressor) as live,
        pytest.raises(InputError, match="finite number of seconds"),
    ):
        live(scene.image(0), float("nan"))
    with pytest.raises(InputError, match="at least 1"):
        LiveTracker(model=tiny_model, detector=scene.detector, regressor=scene.regressor, max_faces=0)


def sudden(model):
    """A face that stands still, jumps by a third of its crop, and stands still again."""
    before, after = (still_face(model, center=(x, 120), scale=0.4) for x in (120, 120 + 0.35 * 220 * 0.4))
    return lambda index: before(index) if index < 10 else after(index)


def test_a_sudden_move_is_looked_at_twice(tiny_model):
    scene = Scene([sudden(tiny_model)])
    frames = run(scene, tiny_model, 20)
    assert ids(frames) == [[0]] * 20
    assert scene.regressor_calls.count(10) == 2
    assert scene.regressor_calls.count(15) == 1
    assert scene.detector_calls == [0]


def test_a_vague_answer_is_checked_by_the_detector(tiny_model):
    """A network that goes astray: off-centre, and more uncertain than usual, whatever crop it gets."""
    from dataclasses import replace

    scene = Scene([still_face(tiny_model)])

    def astray(image, crops):
        answers = scene.regressor(image, crops)
        if scene.index(image) not in (10, 11):
            return answers
        good = [np.linalg.norm(c.center - scene.truth(10)[0].crop.center) < 0.3 * c.side for c in crops]
        return [
            a
            if g and len(scene.detector_calls) > 1
            else replace(a, scale=0.8 * a.scale, landmark_sigma=5 * a.landmark_sigma)
            for a, g in zip(answers, good, strict=True)
        ]

    with LiveTracker(model=tiny_model, detector=scene.detector, regressor=astray, max_faces=1) as live:
        frames = [live(scene.image(i), i / FPS) for i in range(20)]
    assert ids(frames) == [[0]] * 20
    assert scene.detector_calls == [0, 10]
    assert error_px(scene, tiny_model, frames) < 2


def test_a_face_that_something_covers_is_lost_until_it_is_seen_again(tiny_model):
    """Over the hidden frames the network guesses: where the face was, and more vaguely than usual."""
    from dataclasses import replace

    scene = Scene([still_face(tiny_model)])

    def covered(image, crops):
        answers = scene.regressor(image, crops)
        vaguer = {True: 2.5, False: 1.0}[8 <= scene.index(image) < 12]
        return [replace(a, landmark_sigma=vaguer * a.landmark_sigma) for a in answers]

    usual = scene.truth(0)[0].vagueness
    for first_sigma, shown in ((2 * usual, 0), (3 * usual, 1)):
        # A detector that still sees it there brings it back only if a new face might be as vague.
        settings = LiveSettings(first_sigma=first_sigma)
        tracker = LiveTracker(
            model=tiny_model, detector=scene.detector, regressor=covered, max_faces=1, settings=settings
        )
        with tracker as live:
            frames = [live(scene.image(i), i / FPS) for i in range(16)]
        assert [len(f) for f in frames[8:12]] == [shown] * 4
        assert ids(frames[:8] + frames[12:]) == [[0]] * 12
