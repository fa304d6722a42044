import numpy as np
import pytest

from steadyface.refine.patch import SMOOTH, cut

SIZE = (200, 150)


def ramp(size=SIZE):
    """Grey that rises by a half along x and by a quarter along y: (H, W, 3) uint8, rounded."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    return np.repeat(np.rint(20 + 0.5 * x + 0.25 * y).astype(np.uint8)[..., None], 3, 2)


def box(low, high, step=7.3):
    x, y = (np.arange(a, b + 1e-9, step) for a, b in zip(low, high, strict=True))
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)


def test_a_patch_reads_what_the_frame_shows():
    points = box((40, 30), (120, 100))
    patch = cut(ramp(), points, 256)
    assert patch.block == 1
    read = patch.read(points)
    np.testing.assert_allclose(read[:, 0], 20 + points @ [0.5, 0.25], atol=0.6)
    np.testing.assert_allclose(read[:, 1:].mean(0), [0.5, 0.25], atol=0.02)


def test_slopes_are_those_of_what_is_read():
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    grey = 128 + 60 * np.sin(x / 14) * np.cos(y / 11)
    image = np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, 2)
    points = box((50, 40), (130, 100))
    for height in (256, 50):
        patch = cut(image, points, height)
        step = 2.0 * patch.block
        for axis, shift in enumerate(np.eye(2) * step):
            slope = (patch.read(points + shift)[:, 0] - patch.read(points - shift)[:, 0]) / (2 * step)
            read = patch.read(points)[:, 1 + axis]
            assert np.corrcoef(slope, read)[0, 1] > 0.99
            assert np.abs(slope - read).max() < 0.1 * np.abs(read).max() + 0.1 * patch.block


def test_a_ramp_reads_the_same_at_every_level():
    points = box((40, 30), (130, 100))
    expected = 20 + points @ [0.5, 0.25]
    for height, block in ((100, 1), (50, 2), (25, 4)):
        patch = cut(ramp(), points, height)
        assert patch.block == block
        for times in range(3 if block == 1 else 2 if block == 2 else 1):
            half = patch.halved(times)
            assert half.block == block * 2**times
            # Near the border smoothing bends the ramp.
            inside = half.contains(points + 2 * half.block) & half.contains(points - 2 * half.block)
            assert inside.sum() > 4
            np.testing.assert_allclose(half.read(points[inside])[:, 0], expected[inside], atol=0.6)
            np.testing.assert_allclose(half.read(points[inside])[:, 1:].mean(0), [0.5, 0.25], atol=0.03)
    assert patch.halved(0) is patch


@pytest.mark.parametrize("odd", [(129, 100), (130, 101), (129, 101), (131, 103)])
def test_halves_of_odd_patches_do_not_stretch(odd):
    # The picture ends within the patch, so that its sides are whatever is left.
    points = box((0, 0), np.array(odd) - 1)
    patch = cut(ramp(odd), points, 256)
    assert patch.pixels.shape[:2] == odd[::-1]
    for times in (1, 2, 3):
        half = patch.halved(times)
        inside = half.contains(points)
        error = half.read(points[inside])[:, 0] - (20 + points[inside] @ [0.5, 0.25])
        assert np.abs(error).max() < 0.35


def test_a_large_face_is_halved_until_it_fits():
    image = np.zeros((900, 900, 3), np.uint8)
    for span, block in ((200, 1), (257, 2), (512, 2), (700, 4)):
        patch = cut(image, box((50, 50), (50 + span, 100), 1.0), 256)
        assert patch.block == block
        assert max(patch.pixels.shape[:2]) <= 1.35 * 256 + 2


def test_inside_is_a_pixel_from_the_border():
    patch = cut(ramp(), box((0, 0), (199, 149)), 256)
    inside = patch.contains(
        np.array([[100, 75], [0, 75], [1.5, 75], [197.5, 75], [199, 75], [100, -40], [400, 75.0]])
    )
    assert inside.tolist() == [True, False, True, True, False, False, False]


@pytest.mark.parametrize("where", [(-500, 20), (20, -500), (500, 20), (20, 500), (-30, -30), (180, 130)])
def test_a_face_partly_or_wholly_outside_is_cut_at_the_border(where):
    image = ramp()
    points = box(where, np.array(where) + 60)
    patch = cut(image, points, 256)
    inside = patch.contains(points)
    within = ((points >= 1) & (points <= np.array(SIZE) - 3)).all(-1)
    assert (within <= inside).all()
    assert np.isfinite(patch.read(points)).all()
    assert inside.any() == within.any()
    error = patch.read(points)[:, 0] - (20 + points @ [0.5, 0.25])
    assert np.abs(error[inside]).max(initial=0) < 0.7


def test_the_border_is_repeated_outside():
    patch = cut(ramp(), box((0, 0), (199, 149)), 256)
    far, edge = patch.read(np.array([[-50, 70], [0, 70.0]]))
    np.testing.assert_allclose(far, edge, atol=1e-4)


def test_noise_is_smoothed_before_slopes_are_taken():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (100, 100, 3), np.uint8)
    pixels = cut(image, box((0, 0), (99, 99)), 256).pixels
    assert SMOOTH == 0.8
    flat = image.astype(float) @ [0.299, 0.587, 0.114]
    # Of white noise a Gaussian leaves 1 / (2 sqrt(pi) sigma) of the deviation.
    assert pixels[10:-10, 10:-10, 0].std() / flat.std() == pytest.approx(0.35, abs=0.05)
