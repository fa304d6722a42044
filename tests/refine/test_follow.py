from dataclasses import replace

import numpy as np
import pytest
from refined_scene import (
    SMALL,
    FilmedHead,
    error,
    observations,
    perturbed,
    problem_of,
    textured_head,
    truth_of,
    view_at,
)

from steadyface.refine.appearance import learn_texture
from steadyface.refine.follow import FaceFollower
from steadyface.refine.irradiance import irradiance
from steadyface.refine.problem import KnownFace

FRAMES = 20


@pytest.fixture(scope="module")
def head(tiny_model):
    truth = truth_of(textured_head(tiny_model), FRAMES)
    return FilmedHead([truth], covered=(13,), half=(6,), bias=0.7)


@pytest.fixture(scope="module")
def problem(head):
    return problem_of(head)


@pytest.fixture(scope="module")
def known(head, problem):
    """The face as it is."""
    truth = head.truths[0]
    seen = observations(head, problem, truth)
    views = [view_at(problem, truth, row, seen[row].patch) for row in (0, 3, 9, 12, 16, 19)]
    texture, _ = learn_texture(views, problem.surface.basis.prior, problem.config.photometric)
    return KnownFace(texture, truth.identity, truth.focal)


@pytest.fixture(scope="module")
def seen(head, problem):
    return observations(head, problem, perturbed(head.truths[0]))


def follow(problem, known, seen):
    """The parts as they are settled, and how many frames had been pushed by then."""
    follower, parts = FaceFollower(problem, known), []
    for i, observation in enumerate(seen):
        settled = follower.push(observation)
        if settled is not None:
            parts.append((i + 1, settled))
    last = follower.finish()
    return [*parts, (len(seen), last)] if last is not None else parts


def track_of(parts, like):
    """The `Track` of settled parts, like one of the same face."""

    def joined(name):
        return np.concatenate([getattr(p.fit, name) for _, p in parts])

    translation = joined("translation")
    rows = slice(len(translation))
    rows = {n: getattr(like, n)[rows] for n in ("frame_index", "time_s", "sigma", "confidence")}
    return replace(
        like,
        **rows,
        rotation=joined("rotation"),
        translation=translation,
        expression=joined("expression"),
        scale=like.focal / translation[:, 2],
    )


@pytest.fixture(scope="module")
def parts(problem, known, seen):
    return follow(problem, known, seen)


@pytest.fixture(scope="module")
def plain(problem, known, seen):
    """What alignment alone makes of the frames."""
    return follow(problem, replace(known, texture=np.zeros_like(known.texture)), seen)


def test_frames_are_settled_some_at_a_time(parts):
    # Six at a time, once three more are known; the rest at the end.
    assert [(n, len(p.refined)) for n, p in parts] == [(9, 6), (15, 6), (20, 8)]
    for _, p in parts:
        assert p.light.shape == (len(p.refined), 33)
        assert p.fit.covariance.shape == (len(p.refined), 10, 10)
        assert np.isfinite(p.fit.covariance).all()


def test_the_texture_brings_frames_nearer_to_the_truth(parts, plain, head):
    truth = head.truths[0]
    clear = [i for i in range(FRAMES) if i not in (6, 13)]
    start, found = perturbed(truth), track_of(parts, truth)
    assert error(found, truth, clear) < 0.4 * error(start, truth, clear)
    assert error(found, truth, clear) < 0.4 * error(track_of(plain, truth), truth, clear)
    # A frame half hidden is still better off.
    assert error(found, truth, [6]) < 0.7 * error(track_of(plain, truth), truth, [6])
    refined = np.concatenate([p.refined for _, p in parts])
    assert refined[clear].all()


def test_the_light_is_found(parts, head, problem, seen):
    """As strong on the face as it is, but for a factor that texture and light may share."""
    truth, found = head.truths[0], np.concatenate([p.light for _, p in parts])
    clear = [i for i in range(FRAMES) if i not in (6, 13)]
    views = [view_at(problem, truth, i, seen[i].patch) for i in clear]
    here, there = (
        np.array(
            [
                np.average(irradiance(v.basis, light[i]), weights=v.visible)
                for i, v in zip(clear, views, strict=True)
            ]
        )
        for light in (found, head.light[0])
    )
    np.testing.assert_allclose(here / here.mean(), there / there.mean(), atol=0.015)
    assert np.ptp(there / there.mean()) > 0.1


def test_a_hidden_frame_is_not_refined(parts):
    assert not np.concatenate([p.refined for _, p in parts])[13]


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_plain_frame_keeps_what_alignment_says(level, head, problem, known, seen, plain):
    flat = [
        replace(o, patch=replace(o.patch, pixels=np.zeros_like(o.patch.pixels) + np.array([level, 0, 0])))
        for o in seen
    ]
    flat = []
    for o in seen:
        pixels = np.zeros_like(o.patch.pixels)
        pixels[..., 0] = level
        flat.append(replace(o, patch=replace(o.patch, pixels=pixels)))
    found = follow(problem, known, flat)
    assert not np.concatenate([p.refined for _, p in found]).any()
    truth = head.truths[0]
    there, here = (track_of(p, truth).landmarks("ibug68") for p in (plain, found))
    # They take two rounds of steps more, which change hardly anything.
    assert np.abs(there - here)[..., :2].max() < 0.5


def test_a_face_without_a_texture_is_aligned_and_no_more(plain):
    assert not np.concatenate([p.refined for _, p in plain]).any()


def test_without_steps_nothing_moves_and_nothing_is_called_refined(head, problem, known, seen):
    still = replace(problem, config=replace(SMALL, iterations=0))
    parts = follow(still, known, seen)
    found = track_of(parts, head.truths[0])
    np.testing.assert_allclose(found.translation, [o.translation for o in seen])
    np.testing.assert_allclose(found.expression, [o.expression for o in seen])
    assert not np.concatenate([p.refined for _, p in parts]).any()
    assert np.concatenate([p.light for _, p in parts])[:, 0].min() > 0.3


def test_settled_frames_do_not_depend_on_what_comes_later(problem, known, seen, parts):
    other = [*seen[:9], *(replace(o, points=o.points + 8) for o in seen[9:])]
    changed = follow(problem, known, other)
    first, again = parts[0][1], changed[0][1]
    for name in ("rotation", "translation", "expression", "covariance"):
        np.testing.assert_array_equal(getattr(first.fit, name), getattr(again.fit, name))
    assert not np.allclose(parts[1][1].fit.translation, changed[1][1].fit.translation, atol=1e-3)


def test_a_stream_is_as_good_as_the_whole(problem, known, seen, parts, head):
    whole = follow(replace(problem, config=replace(SMALL, stride=99)), known, seen)
    assert [(n, len(p.refined)) for n, p in whole] == [(FRAMES, FRAMES)]
    a, b = (track_of(p, head.truths[0]).landmarks("ibug68")[..., :2] for p in (parts, whole))
    clear = [i for i in range(FRAMES) if i not in (6, 13)]
    assert np.linalg.norm(a - b, axis=-1)[clear].mean() < 0.15


def test_the_window_does_not_grow(problem, known, seen):
    follower, longest = FaceFollower(problem, known), 0
    for i in range(3 * FRAMES):
        time = seen[-1].time_s * (i // FRAMES) + seen[i % FRAMES].time_s + 0.04 * (i // FRAMES)
        follower.push(replace(seen[i % FRAMES], time_s=time))
        longest = max(longest, len(follower._window))
    assert longest <= SMALL.stride + SMALL.ahead + 2


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_frames_are_enough(count, head, problem, known, seen):
    none = replace(known, texture=np.zeros_like(known.texture))
    truth, rows, found = head.truths[0], slice(count), []
    for face in (known, none):
        ((_, part),) = follow(problem, face, seen[:count])
        assert (part.refined == (face is known)).all()
        here, there = track_of([(count, part)], truth).landmarks("ibug68"), truth.landmarks("ibug68", rows)
        found.append(np.linalg.norm((here - there)[..., :2], axis=-1).mean())
    assert found[0] < 0.6 * found[1]


def test_nothing_pushed_is_nothing_settled(problem, known, seen):
    follower = FaceFollower(problem, known)
    assert follower.finish() is None
    assert follower.push(seen[0]) is None
    assert len(follower.finish().refined) == 1
    assert follower.finish() is None
