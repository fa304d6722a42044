"""Error of the alignment network on the held-out portraits, as they are and turned to profile."""

from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from ..align.crop import Crop
from ..errors import InputError
from ..face_model.mediapipe import OUTER_EYE_CORNERS
from ..rotation import euler_from_matrix, matrix_from_axis_angle
from .metrics import nme_per_frame
from .report import Section, Table, Target

#: Spread of the crop that a tracker carries from one frame to the next around the true one: standard
#: deviations of the centre (sides, per axis), of the log of the side, and of the roll (radians).
SHIFT, LOG_SIZE, ROLL = 0.03, 0.05, 0.06
#: A cached picture spans this many sides of the standard crop.
CACHED_SPAN = 4 / 3


@dataclass(frozen=True)
class Labelled:
    """Pictures with their fitted labels: one folder of the training cache.

    images: (N, n, n, 3) uint8, each spanning `CACHED_SPAN` standard crops; rotation (N, 3, 3), scale
    (N,), translation (N, 2), pose in standard crop units; identity (N, K); expression (N, E);
    landmarks478: (N, 478, 2) crop units; source: (N,), 0 where those were measured in a photograph, else
    they are the label's own points, of a picture made from it; name: (N,); skin_ita: (N,) degrees,
    NaN for pictures without colour. picture: (N,) files they were cut from, and crop: (N, 4) centre,
    side and roll of the standard crop in those, or None where they were made otherwise.
    """

    images: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray
    translation: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    landmarks478: np.ndarray
    source: np.ndarray
    name: np.ndarray
    skin_ita: np.ndarray
    picture: np.ndarray | None = None
    crop: np.ndarray | None = None

    @property
    def standard(self):
        """The standard `Crop` in the pixels of a picture."""
        n = self.images.shape[1]
        return Crop(np.full(2, (n - 1) / 2), n / CACHED_SPAN)

    def project(self, shape):
        """Points of a `LinearShape` at the labels: (N, P, 3) picture px, depth in the same unit."""
        points = shape(self.identity, self.expression) @ np.swapaxes(self.rotation, -1, -2)
        points = self.scale[:, None, None] * points
        points[..., :2] = self.standard.to_image(points[..., :2] + self.translation[:, None])
        points[..., 2] *= self.standard.side
        return points


def load_labelled(folder):
    """Read a folder of the training cache as `Labelled`. Raises InputError if it is missing or not one."""
    folder = Path(folder)
    try:
        images = np.load(folder / "images.npy", mmap_mode="r")
        with np.load(folder / "labels.npz", allow_pickle=False) as z:
            optional = {"picture", "crop"} - set(z.files)
            labels = {f.name: z[f.name] for f in fields(Labelled)[1:] if f.name not in optional}
    except (OSError, ValueError, KeyError) as e:
        raise InputError(f"{folder} is not a folder of labelled crops (images.npy, labels.npz): {e}") from e
    return Labelled(images, **labels)


def perturb(crop, rng):
    """A crop as a tracker would give it: shifted, scaled and turned by normal noise of the spreads above."""
    shift = crop.side * SHIFT * rng.normal(size=2)
    side = crop.side * np.exp(LOG_SIZE * rng.normal())
    return Crop(crop.center + shift, float(side), crop.roll + float(ROLL * rng.normal()))


def bootstrap(values, statistic=np.mean, groups=None, draws=2000, seed=0):
    """95 % interval of a statistic of values (N, ...), by resampling them: (low, high).

    groups: (N,) what must be drawn together because it is not independent, such as the name of the
    portrait that several pictures were made from; by default each value is drawn alone.
    """
    values = np.asarray(values)
    if not len(values):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    count, members = len(values), None
    if groups is not None:
        order = np.argsort(groups, kind="stable")
        first = np.unique(np.asarray(groups)[order], return_index=True)[1]
        members = np.split(order, first[1:])
        count = len(members)
    drawn = []
    for _ in range(draws):
        chosen = rng.integers(0, count, count)
        rows = chosen if members is None else np.concatenate([members[k] for k in chosen])
        drawn.append(statistic(values[rows]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def crop_errors(data, regressor, model, seed=0):
    """Errors of the network on labelled pictures, from crops around the labels' poses.

    regressor: (image, crops) to `Alignment`s. Returns a dict of (N,) arrays in percent of inter-ocular:
    `error`, the 478 points through the face model against the landmarks; `residual`, the label's own
    points against the landmarks, NaN where those are not measured; `error_in_space`, the error over the
    label's inter-ocular distance in 3D, which does not shrink as the head turns; and `yaw_deg` of the
    label. `error` and `residual` of photographs divide by the distance in the image, as is usual, and
    the error of pictures turned to profile by that in 3D.
    """
    rng = np.random.default_rng(seed)
    shape = model.landmarks("mediapipe478")
    labels = data.project(shape)
    truth = data.standard.to_image(data.landmarks478)
    right, left = OUTER_EYE_CORNERS
    in_image, in_space = (
        np.linalg.norm(points[:, right] - points[:, left], axis=-1) for points in (truth, labels)
    )
    found = [regressor(np.asarray(image), [perturb(data.standard, rng)])[0] for image in data.images]
    pred = np.stack([a.project(shape)[:, :2] for a in found])
    measured = np.asarray(data.source) == 0
    length = np.where(measured, in_image, in_space)
    return {
        "error": nme_per_frame(pred, truth, length),
        "error_in_space": nme_per_frame(pred, truth, in_space),
        "residual": np.where(measured, nme_per_frame(labels[..., :2], truth, length), np.nan),
        "yaw_deg": np.rad2deg(euler_from_matrix(data.rotation)[:, 1]),
    }


def detector_errors(data, detector, regressor, model):
    """Errors on the whole pictures with nothing known: detector, network, and the network once more.

    data: `Labelled` with picture and crop; detector: image to `Detection`s. Returns (N,) percent of
    inter-ocular in the image, NaN where no face was found.
    """
    shape = model.landmarks("mediapipe478")
    errors = np.full(len(data.picture), np.nan)
    for i, (path, (x, y, side, roll)) in enumerate(zip(data.picture, data.crop, strict=True)):
        image = _read_image(path)
        detections = detector(image)
        if not detections:
            continue
        best = max(detections, key=lambda d: d.score)
        first = regressor(image, [best.crop])[0]
        crop = Crop.from_pose(matrix_from_axis_angle(first.rotation), first.scale, first.translation)
        pred = regressor(image, [crop])[0].project(shape)[:, :2]
        truth = Crop(np.array([x, y]), side, roll).to_image(data.landmarks478[i])
        length = np.linalg.norm(truth[OUTER_EYE_CORNERS[0]] - truth[OUTER_EYE_CORNERS[1]])
        errors[i] = nme_per_frame(pred[None], truth[None], np.array([length]))[0]
    return errors


def _read_image(path):
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise InputError(f"cannot read the image {path}")
    return image


def darkest_fifth(ita):
    """Masks (N,) of the darkest fifth of the faces with a measured skin tone, and of the rest of those.

    ita: individual typology angle, degrees, low for dark skin; NaN where unknown.
    """
    known = np.isfinite(ita)
    if not known.any():
        return known, known
    dark = known & (ita <= np.quantile(ita[known], 0.2))
    return dark, known & ~dark


def _ratio(pairs):
    # pairs: (N, 2) error and whether dark; the mean of the dark over the mean of the rest.
    dark = pairs[:, 1] > 0
    return pairs[dark, 0].mean() / pairs[~dark, 0].mean() if dark.any() and not dark.all() else np.nan


def _row(name, values, groups=None):
    finite = np.isfinite(values)
    values, groups = values[finite], None if groups is None else groups[finite]
    if not len(values):
        return name, 0, None, None, None, None
    low, high = bootstrap(values, groups=groups)
    mean, median, p90 = float(values.mean()), float(np.median(values)), float(np.percentile(values, 90))
    return name, len(values), mean, f"{low:.2f} to {high:.2f}", median, p90


def evaluate_portraits(cache, detector=None, regressor=None, model=None):
    """Measure the network on the held-out portraits. Returns the `Section` "portraits".

    cache: folder with heldout/ and heldout_profiled/, as `Labelled`. detector, regressor, model: the
    shipped ones by default. Raises InputError if data are missing.
    """
    if model is None:
        from ..face_model.morphable import load_face_model

        model = load_face_model()
    if regressor is None:
        from ..align.regressor import Regressor

        regressor = Regressor()
    if detector is None:
        from ..detect.detector import Detector

        detector = Detector()
    frontal = load_labelled(Path(cache) / "heldout")
    profiled = load_labelled(Path(cache) / "heldout_profiled")
    still = crop_errors(frontal, regressor, model)
    turned = crop_errors(profiled, regressor, model)
    found = detector_errors(frontal, detector, regressor, model)
    return section(still, turned, found, frontal.skin_ita, profiled.name)


def section(still, turned, found, ita, source):
    """The `Section` "portraits" of the errors of `crop_errors` on both sets and of `detector_errors`.

    ita: (N,) skin tone of the portraits; source: (M,) names of those that were turned.
    """
    dark, light = darkest_fifth(ita)
    yaw = np.abs(turned["yaw_deg"])
    large = yaw >= 60
    known = dark | light
    pairs = np.stack([still["error"][known], dark[known]], -1)
    ratio = float(_ratio(pairs)) if len(pairs) else float("nan")
    low, high = bootstrap(pairs, _ratio)
    missed = int(np.isnan(found).sum())
    rows = (
        _row("held out, crop as a tracker gives it", still["error"]),
        _row("held out, detector and one refinement", found),
        _row("the labels' own fit residual", still["residual"]),
        _row("the first row over inter-ocular in 3D", still["error_in_space"]),
        _row("colour, darkest fifth (ITA)", still["error"][dark]),
        _row("colour, the rest", still["error"][light]),
        _row(
            "profiled, yaw 60 to 75 degrees", turned["error"][large & (yaw < 75)], source[large & (yaw < 75)]
        ),
        _row("profiled, yaw 75 to 90 degrees", turned["error"][yaw >= 75], source[yaw >= 75]),
        _row("profiled, yaw 60 to 90 degrees", turned["error"][large], source[large]),
    )
    still_mean, turned_mean = (float("nan") if row[2] is None else row[2] for row in (rows[0], rows[-1]))
    return Section(
        name="portraits",
        title="Held-out portraits, 478 points through the face model",
        command="steadyface benchmark portraits",
        targets=(
            Target("held-out portraits, 478 points", still_mean, "<=", 3.6, "%"),
            Target("the same, profiled to 60-90 degrees of yaw", turned_mean, "<=", 6.0, "%"),
            Target("darkest fifth over the rest", ratio, "<=", 1.15),
        ),
        tables=(
            Table(
                "Mean point distance, percent of inter-ocular; intervals by bootstrap over portraits.",
                ("portraits", "number", "mean", "95 % interval", "median", "90th percentile"),
                rows,
            ),
        ),
        notes=(
            f"Darkest fifth over the rest: {ratio:.2f} (95 % interval {low:.2f} to {high:.2f}).",
            f"The detector found no face in {missed} of {len(found)} portraits.",
            f"The crop as a tracker gives it is the label's, shifted by {SHIFT} of its side (standard "
            f"deviation, each way), scaled by {LOG_SIZE} (of the log) and turned by {np.rad2deg(ROLL):.1f} "
            "degrees. Profiled portraits are the same portraits turned with their fitted 3D face; the truth "
            "is the label's own points, hidden ones included, over the inter-ocular distance in 3D.",
        ),
    )
