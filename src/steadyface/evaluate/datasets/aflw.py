"""AFLW: faces in the wild with up to 21 points, the visible ones alone (Koestinger et al. 2011)."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from ...errors import InputError
from .layout import require_file, require_folder
from .sample import Sample

LAYOUT = "data/aflw.sqlite and data/flickr/{0,2,3}/NAME.jpg under the root"


def read_aflw(root) -> Iterator[Sample]:
    """The faces of AFLW with "aflw21" landmarks (21, 2), NaN and not visible where not annotated.

    root: as `LAYOUT`. Points as the database gives them (check: whether its pixels count from 0 or 1 is not
    documented). box from the face rectangle, None where a face has none. attributes: face_id, and where the
    database knows them roll, pitch, yaw (radians, its own signs). The subset of 21,080 faces and the yaw bins
    of 3DDFA's comparisons come from lists of that project and are not part of the dataset. Raises InputError
    if the database is missing or lacks a table.
    """
    root = Path(root)
    database = require_file("AFLW", root / "data" / "aflw.sqlite", LAYOUT)
    images = require_folder("AFLW", root / "data" / "flickr", LAYOUT)
    return _samples(database, images)


def _samples(database, images):
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            faces = connection.execute(
                "SELECT face_id, filepath FROM Faces JOIN FaceImages USING (file_id) ORDER BY face_id"
            )
            for face, path in faces:
                yield _sample(connection, images, face, path)
        except sqlite3.Error as e:
            raise InputError(f"{database} is not AFLW's database: {e}") from e


def _sample(connection, images, face, path):
    landmarks = np.full((21, 2), np.nan)
    rows = connection.execute("SELECT feature_id, x, y FROM FeatureCoords WHERE face_id = ?", (face,))
    for feature, x, y in rows:
        landmarks[feature - 1] = x, y
    rectangle = connection.execute("SELECT x, y, w, h FROM FaceRect WHERE face_id = ?", (face,)).fetchone()
    pose = connection.execute("SELECT roll, pitch, yaw FROM FacePose WHERE face_id = ?", (face,)).fetchone()
    x, y, w, h = rectangle or (np.nan,) * 4
    return Sample(
        dataset="AFLW",
        name=str(face),
        image_path=images / path,
        markup="aflw21",
        landmarks=landmarks,
        visible=np.all(np.isfinite(landmarks), axis=-1),
        box=np.array([x, y, x + w, y + h], float) if rectangle else None,
        attributes={"face_id": face, **dict(zip(("roll", "pitch", "yaw"), pose or (), strict=False))},
    )
