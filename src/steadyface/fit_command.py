"""The command `steadyface fit`: 2D landmarks that some tool has found already to a Track."""

from pathlib import Path
from typing import Annotated

import typer


def fit(
    points: Annotated[
        list[Path],
        typer.Argument(
            help=".npz, .npy, .csv, .pts or a folder of .pts, one a camera; several .pts are frames.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The track, or its folder; NAME.track.npz if not given."),
    ] = None,
    video: Annotated[
        Path | None, typer.Option(help="Where the points were found: its size and times.")
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Write OUT.overlay.mp4 too; needs --video.")
    ] = False,
    image_size: Annotated[
        tuple[int, int] | None, typer.Option(help="Width and height, px, where nothing else tells.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames a second where nothing else tells; else 30.")
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(help="Points' standard deviation, px, where the file has none; else 2 mm on the head."),
    ] = None,
    markup: Annotated[
        str | None,
        typer.Option(help="ibug68, ibug51, mediapipe478, mediapipe468 or vertices; else by number."),
    ] = None,
    vertices: Annotated[
        Path | None,
        typer.Option(
            "--points", help="JSON: the model's vertex of each point, a list or by the points' names."
        ),
    ] = None,
    pixels: Annotated[
        str | None,
        typer.Option(help="centers, corners, one or normalized; else one for .pts and centers for others."),
    ] = None,
    focal: Annotated[float | None, typer.Option(help="Focal length, px, if it is known; else found.")] = None,
    cameras: Annotated[
        Path | None, typer.Option(help="JSON of known cameras; without, several are found by the fit.")
    ] = None,
    offsets: Annotated[
        str | None, typer.Option(help="Region, as nose, that may leave the model; for several cameras.")
    ] = None,
    neutral: Annotated[
        Path | None, typer.Option(help="The person's neutral face: .obj, .ply, .npy or .npz, as of MICA.")
    ] = None,
    model: Annotated[str, typer.Option(help="Face model: anny, or the path of FLAME, BFM or ICT.")] = "anny",
    model_landmarks: Annotated[
        list[Path] | None, typer.Option(help="File that places landmarks on it; may be given again.")
    ] = None,
    gap: Annotated[
        float, typer.Option(help="Seconds without points that are filled in, and marked.", min=0)
    ] = 0.5,
):
    """Fit the face model to 2D landmarks of some tool, in POINTS: a Track, as `track` writes it.

    From several cameras also OUT.cameras.json, and with --offsets OUT.neutral.obj.
    """
    from .errors import InputError
    from .face_model.morphable import load_face_model
    from .fit.rig_file import write_cameras
    from .landmark_fit import fit_landmarks
    from .output import make_folder
    from .points.markup import read_vertices
    from .points.read import read_points

    if overlay and video is None:
        raise InputError("--overlay needs --video, which it is drawn on")
    name = f"{points[0].stem}.track.npz"
    out = Path(name) if out is None else out / name if out.is_dir() else out
    make_folder(out.parent)
    if any(out.resolve() == p.resolve() for p in points):
        raise InputError(f"{out} is one of the inputs: give another name with -o")
    size = image_size if video is None else _size(video)
    found = fit_landmarks(
        read_points(points, pixels=pixels, image_size=size, markup=markup),
        image_size=size,
        fps=fps,
        sigma=sigma,
        markup=markup,
        vertices=None if vertices is None else read_vertices(vertices),
        model=load_face_model(model, model_landmarks),
        video=video,
        focal=focal,
        cameras=cameras,
        neutral=neutral,
        offsets=offsets,
        gap_s=gap,
    )
    track, stem = found.track, out.with_suffix("")
    track.save(out)
    filled = int((found.sequence.seen == 0).sum())
    typer.echo(f"{out}: {len(track)} frames" + (f", {filled} of them interpolated" if filled else ""))
    for c, distance in enumerate(found.distance):
        name = f"camera {c}: " if len(found.rig) > 1 else ""
        typer.echo(
            f"{name}points within {distance:.2f} px (median), focal length {found.rig.focal[c]:.0f} px"
        )
    if len(found.rig) > 1:
        write_cameras(found.rig, found.image_sizes, f"{stem}.cameras.json")
        typer.echo(f"{stem}.cameras.json")
    if offsets is not None:
        from .export.obj import write_obj

        write_obj(found.neutral(), track.model.triangles, f"{stem}.neutral.obj")
        typer.echo(f"{stem}.neutral.obj")
    if video is not None and overlay:
        from .pipeline import overlay as write_overlay

        write_overlay(video, [track], f"{stem}.overlay.mp4")
        typer.echo(f"{stem}.overlay.mp4")


def _size(video):
    from .video import read_video

    with read_video(video) as reader:
        return reader.info.size
