"""Training labels from portraits: the face model fitted to their landmarks, and the crops they belong to.

``python -m steadyface.learn.portraits --data ../shared/data --out cache`` writes ``cache/portraits`` (for
training) and ``cache/heldout`` (never trained on) and reports how well the model fits.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from ..align.crop import SIDE_MM, Crop
from ..errors import InputError
from ..face_model.mediapipe import (
    CHIN,
    EYES,
    FOREHEAD_TOP,
    IRISES,
    LEFT_OVAL,
    LIPS,
    OUTER_EYE_CORNERS,
    OVAL,
    RIGHT_OVAL,
)
from ..face_model.morphable import LinearShape, MorphableModel, load_face_model
from ..fit.image import FitConfig, ImageFit, fit_image, weak_perspective_pose
from ..rotation import euler_from_matrix, matrix_from_axis_angle
from ..synthesis.picture import PICTURE_MARGIN, PICTURE_SIZE
from ..synthesis.split import is_held_out
from .openings import openings

#: Corners of patches of bare skin, indices of MediaPipe's points.
SKIN = {
    "right": (117, 118, 101, 36, 205, 50),
    "left": (346, 347, 330, 266, 425, 280),
    "forehead": (9, 107, 108, 151, 337, 336),
}

#: Chroma of a face that its lightness does not explain (Lab units) from which a picture counts as colour.
#: Toned grey pictures lie below 2, colour photographs above 2.5.
COLOUR_SPREAD = 2.3
#: Share of the training portraits left out for the least consistent landmarks, and for the worst fits.
DROP_INCONSISTENT, DROP_UNFITTED = 0.03, 0.02

PORTRAIT_FIT = FitConfig()


@dataclass(frozen=True)
class Portraits:
    """Portraits with landmarks: files (N,) paths, names (N,), points (N, 478, 2) px with pixel centres at
    whole numbers, flip_consistency (N,) in inter-ocular distances (0: unknown)."""

    files: np.ndarray
    names: np.ndarray
    points: np.ndarray
    flip_consistency: np.ndarray

    @property
    def held_out(self):
        """(N,) bool."""
        return np.array([is_held_out(n) for n in self.names], bool)

    def __getitem__(self, index):
        fields = (self.files, self.names, self.points, self.flip_consistency)
        return Portraits(*(a[index] for a in fields))


def load_portraits(data):
    """All portraits of the data folder's ``portraits`` and ``london_smiling``.

    Raises InputError if neither is there.
    """
    parts = []
    for folder in (Path(data) / "portraits", Path(data) / "london_smiling"):
        if not (folder / "landmarks478.npz").is_file():
            continue
        with np.load(folder / "landmarks478.npz") as z:
            names = z["names"].astype(str)
            # MediaPipe's x W, y H count from the picture's edge; half a pixel less counts from pixel centres.
            points = z["xyz"][..., :2].astype(float) / 32 - 0.5
            flip = z["flip_consistency"].astype(float) if "flip_consistency" in z else np.zeros(len(names))
        files = np.array([str(folder / "images" / n) for n in names])
        parts.append((files, names, points, flip))
    if not parts:
        raise InputError(f"no portraits under {data}: give the folder that holds portraits/landmarks478.npz")
    return Portraits(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def landmark_weights(yaw):
    """Weights of the 478 points for heads of a yaw: (*, 478).

    Lids, lips and irises count more, so that blinks and words survive; the far side's contour, which
    MediaPipe slides along the silhouette instead of the skin, counts less as the head turns. yaw: (*,)
    radians, positive to the subject's left.
    """
    yaw = np.asarray(yaw, float)
    w = np.ones((*yaw.shape, 478))
    # Measured on the portraits: lids at 3 give back 0.75 of a change in eye opening, at 10 0.84.
    w[..., EYES] = 10
    w[..., LIPS] = 3
    w[..., IRISES] = 2
    turned = np.clip((np.abs(yaw) - np.radians(15)) / np.radians(30), 0, 1)
    contour = 0.5 - 0.4 * turned
    w[..., [FOREHEAD_TOP, CHIN]] = 0.5
    w[..., LEFT_OVAL] = np.where(yaw > 0, contour, 0.5)[..., None]
    w[..., RIGHT_OVAL] = np.where(yaw < 0, contour, 0.5)[..., None]
    return w


def fit_portraits(points, shape: LinearShape, config: FitConfig = PORTRAIT_FIT) -> ImageFit:
    """Fit the model to MediaPipe landmarks under weak perspective.

    points: (N, 478, 2) px; shape: the model's "mediapipe478" points.
    """
    rotation = weak_perspective_pose(points, shape.mean)[0]
    return fit_image(
        points, shape, weights=landmark_weights(euler_from_matrix(rotation)[..., 1]), config=config
    )


def interocular(fit: ImageFit, shape: LinearShape):
    """Distance of the fitted outer eye corners in space, in px at the head's scale: (N,).

    Unlike the distance in the image it does not shrink as the head turns.
    """
    corners = fit.points(shape)[..., OUTER_EYE_CORNERS, :]
    return fit.scale * np.linalg.norm(corners[..., 0, :] - corners[..., 1, :], axis=-1)


def colour_spread(image, points):
    """How much the chroma of a face varies apart from its lightness: near 0 in grey and in toned pictures.

    image: (H, W, 3) uint8 RGB; points: (478, 2) px. Returns the root mean square distance, in Lab units, of
    (a*, b*) to their best cubic in L*; 0 if the face is outside the picture.
    """
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(points).astype(np.int32)), 1)
    # Compression leaves blocks of stray chroma in grey pictures: look at patches, not at pixels.
    pixels = cv2.GaussianBlur(image, (0, 0), image.shape[0] / 150)[mask > 0][::7]
    if not len(pixels):
        return 0.0
    lab = cv2.cvtColor(pixels[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    powers = np.vander(lab[:, 0] / 50 - 1, 4)
    cubic = np.linalg.lstsq(powers, lab[:, 1:], rcond=None)[0]
    return float(np.sqrt(((lab[:, 1:] - powers @ cubic) ** 2).sum(-1).mean()))


def skin_tone(image, points, yaw):
    """Individual typology angle of the cheeks and the forehead, degrees: above 55 very light, below -30 dark.

    image: (H, W, 3) uint8 RGB; points: (478, 2) px; yaw: radians, the cheek turned away is left out from 25
    degrees on. Returns NaN if no skin is inside the picture, or what is there is not reddish and yellowish
    as all skin under white light. (Chardon et al. 1991:
    ITA = atan((L* - 50) / b*).)
    """
    mask = np.zeros(image.shape[:2], np.uint8)
    for name, polygon in SKIN.items():
        if (name == "left" and yaw > np.radians(25)) or (name == "right" and yaw < -np.radians(25)):
            continue
        cv2.fillConvexPoly(mask, np.round(points[list(polygon)]).astype(np.int32), 1)
    pixels = image[mask > 0]
    if not len(pixels):
        return np.nan
    lab = cv2.cvtColor(pixels[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    lightness, a, b = np.median(lab, 0)
    if min(a, b) < 2:
        return np.nan
    return float(np.degrees(np.arctan2(lightness - 50, b)))


def report_fits(points, fit: ImageFit, shape: LinearShape):
    """How well the fits reproduce the landmarks: a dict of numbers, percents of `interocular`."""
    unit = interocular(fit, shape)
    fitted = fit.project(shape)
    error = 100 * np.linalg.norm(fitted - points, axis=-1) / unit[:, None]
    mean = error[:, :468].mean(-1)
    seen_eyes, seen_mouth = openings(points, unit)
    eyes, mouth = openings(fitted, unit)
    yaw = np.degrees(np.abs(euler_from_matrix(matrix_from_axis_angle(fit.rotation))[..., 1]))
    groups = {"eyes": EYES, "lips": LIPS, "irises": IRISES, "contour": OVAL}
    return {
        "portraits": len(points),
        "mean_percent_468": float(mean.mean()),
        "mean_percent_478": float(error.mean()),
        "percentiles_5_25_50_75_95_99_max": [
            float(q) for q in np.percentile(mean, [5, 25, 50, 75, 95, 99, 100])
        ],
        "groups_percent": {k: float(error[:, i].mean()) for k, i in groups.items()},
        "by_yaw_percent": {
            f"{a}-{b}": [float(mean[m].mean()), int(m.sum())]
            for a, b in ((0, 15), (15, 30), (30, 45), (45, 90))
            if (m := (yaw >= a) & (yaw < b)).any()
        },
        "mean_abs_identity": float(np.abs(fit.identity).mean()),
        "mean_expression": float(fit.expression.mean()),
        "eye_opening_correlation": float(np.corrcoef(seen_eyes.ravel(), eyes.ravel())[0, 1]),
        "eye_opening_slope": float(np.polyfit(seen_eyes.ravel(), eyes.ravel(), 1)[0]),
        "mouth_opening_correlation": float(np.corrcoef(seen_mouth, mouth)[0, 1]),
        "mouth_opening_slope": float(np.polyfit(seen_mouth, mouth, 1)[0]),
        "converged": float(fit.converged.mean()),
    }


def _write_cache(portraits: Portraits, fit: ImageFit, shape: LinearShape, folder: Path, size: int):
    """Write ``images.npy`` and ``labels.npz`` of these portraits and their fits under a folder."""
    count = len(portraits.names)
    work = folder.with_name(folder.name + ".partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    shape_of = (count, size, size, 3)
    images = np.lib.format.open_memmap(work / "images.npy", "w+", np.uint8, shape_of)
    matrices = matrix_from_axis_angle(fit.rotation)
    unit = interocular(fit, shape)
    yaw = euler_from_matrix(matrices)[:, 1]
    error = np.linalg.norm(fit.project(shape) - portraits.points, axis=-1).mean(-1) / unit
    eye_open, mouth_open = openings(portraits.points, unit)
    rotation, translation = np.empty((count, 3, 3)), np.empty((count, 2))
    landmarks, tone = np.empty((count, 478, 2)), np.full(count, np.nan)
    crops = np.empty((count, 4))
    center = fit.camera.center
    for i in range(count):
        bgr = cv2.imread(str(portraits.files[i]), cv2.IMREAD_COLOR)
        if bgr is None:
            raise InputError(f"{portraits.files[i]} is not a readable picture")
        image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        crop = Crop.from_pose(matrices[i], fit.scale[i], center[i])
        images[i] = Crop(crop.center, PICTURE_MARGIN * crop.side, crop.roll).extract(image, size)
        rotation[i] = matrices[i]
        rotation[i, :2] = crop.rotation.T @ matrices[i, :2]
        translation[i] = crop.from_image(center[i])
        landmarks[i] = crop.from_image(portraits.points[i])
        crops[i] = [*crop.center, crop.side, crop.roll]
        if colour_spread(image, portraits.points[i]) >= COLOUR_SPREAD:
            tone[i] = skin_tone(image, portraits.points[i], yaw[i])
    images.flush()
    np.savez(
        work / "labels.npz",
        rotation=rotation.astype(np.float32),
        scale=np.full(count, 1 / SIDE_MM, np.float32),
        translation=translation.astype(np.float32),
        identity=fit.identity.astype(np.float32),
        expression=fit.expression.astype(np.float32),
        landmarks478=landmarks.astype(np.float32),
        # Landmarks that disagree with their mirror image's are taken less seriously.
        weight478=np.clip(0.02 / np.maximum(portraits.flip_consistency, 1e-9), 0.25, 1).astype(np.float32),
        source=np.zeros(count, np.uint8),
        name=portraits.names,
        picture=portraits.files,
        crop=crops,
        skin_ita=tone.astype(np.float32),
        eye_open=eye_open.astype(np.float32),
        mouth_open=mouth_open.astype(np.float32),
        fit_error=error.astype(np.float32),
        flip_consistency=portraits.flip_consistency.astype(np.float32),
    )
    shutil.rmtree(folder, ignore_errors=True)
    work.rename(folder)


def _subset(fit: ImageFit, index):
    camera = type(fit.camera)(fit.camera.scale[index], fit.camera.center[index])  # type: ignore[union-attr]
    arrays = (fit.identity, fit.expression, fit.residual, fit.converged)
    return ImageFit(fit.rotation[index], fit.translation[index], camera, *(a[index] for a in arrays))


def build_portrait_cache(
    data, out, model: MorphableModel | None = None, config: FitConfig = PORTRAIT_FIT, size: int = PICTURE_SIZE
):
    """Fit every portrait and write ``out/portraits`` (training) and ``out/heldout``; return the report.

    data: the folder of ``portraits`` and ``london_smiling``; model: default the embedded one; size: n. Each
    set is ``images.npy`` (N, n, n, 3) uint8 RGB, showing 4/3 of the standard crop, and ``labels.npz`` in
    units of the standard crop: rotation (N, 3, 3), scale (N,), translation (N, 2), identity, expression,
    landmarks478 (N, 478, 2), weight478, source (0), name, picture, crop (N, 4: centre, side, roll in the
    file), skin_ita (degrees, NaN for grey pictures), eye_open (N, 2) and mouth_open over inter-ocular,
    fit_error (mean over the points, over inter-ocular), flip_consistency. Of the training portraits the
    least consistent landmarks and the worst fits are left out; of the held-out ones, none.
    """
    model = model or load_face_model()
    shape = model.landmarks("mediapipe478")
    portraits = load_portraits(data)
    fit = fit_portraits(portraits.points, shape, config)
    # The weighted residual: by the plain mean, sliding contours would cost us the turned heads.
    error = fit.residual / interocular(fit, shape)
    held = portraits.held_out
    keep = portraits.flip_consistency <= np.quantile(portraits.flip_consistency, 1 - DROP_INCONSISTENT)
    keep &= error <= np.quantile(error, 1 - DROP_UNFITTED)
    report = {}
    for name, index in (("portraits", ~held & keep), ("heldout", held)):
        chosen = np.flatnonzero(index)
        report[name] = report_fits(portraits.points[chosen], _subset(fit, chosen), shape)
        _write_cache(portraits[chosen], _subset(fit, chosen), shape, Path(out) / name, size)
    report["all"] = report_fits(portraits.points, fit, shape)
    (Path(out) / "portraits" / "report.json").write_text(json.dumps(report, indent=1))
    return report


def main(
    data: Annotated[Path, typer.Option(help="Folder of portraits/ and london_smiling/.")] = Path(
        "../shared/data"
    ),
    out: Annotated[Path, typer.Option(help="Folder to write the sets into.")] = Path("cache"),
    size: Annotated[int, typer.Option(help="Side of the pictures, pixels.", min=16)] = PICTURE_SIZE,
):
    """Fit the face model to the portraits and write the training and held-out sets."""
    print(json.dumps(build_portrait_cache(data, out, size=size), indent=1))


if __name__ == "__main__":
    typer.run(main)
