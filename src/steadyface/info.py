"""What this installation consists of."""

import json
import math
import os
import platform
from pathlib import Path

from .errors import InputError

ASSETS = Path(__file__).parent / "assets"
#: The table of all networks, written by `networks/catalogue.py`.
NETWORKS = ASSETS / "networks.json"


def facts():
    """List of (name, value) texts: versions, face model, assets with their cards' first lines, machine."""
    import onnxruntime

    from . import __version__
    from .face_model.morphable import load_face_model

    rows = [("steadyface", __version__), ("python", f"{platform.python_version()}, {platform.machine()}")]
    rows += [(name, _version(name)) for name in ("numpy", "onnxruntime", "opencv-python-headless", "av")]
    model = load_face_model()
    rows.append(
        (
            "face model",
            f"{model.name}: {model.vertex_count} vertices, {len(model.triangles)} triangles, "
            f"{model.identity_count} identity and {model.expression_count} expression coefficients, "
            f"landmarks {', '.join(sorted(model.embeddings))}",
        )
    )
    for path in sorted(ASSETS.glob("*")):
        if path.suffix not in (".md", ".py") and path.is_file():
            rows.append((path.name, f"{path.stat().st_size / 1e6:.1f} MB. {_card(path)}"))
    rows.append(("torch", _version("torch", "not installed: no `train`, no `refine --mode paper`")))
    rows.append(("providers", ", ".join(onnxruntime.get_available_providers())))
    rows.append(("processors", str(os.cpu_count())))
    return rows


def networks(path=NETWORKS, assets=ASSETS):
    """Columns and rows, texts, of all networks of the five methods: sizes, the papers' in beside them, files.

    Raises InputError if the table is missing.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise InputError(
            f"the table of networks {path} is missing or broken: install steadyface again"
        ) from e
    columns = ("method", "network", "input", "parameters", "paper's", "multiply-adds", "paper's", "shipped")
    rows = [
        (
            *(row["method"], row["network"], row["input"]),
            *(_short(row["parameters"]), _short(row["paper_parameters"])),
            *(_short(row["multiply_adds"]), _short(row["paper_multiply_adds"])),
            _shipped(assets, row["asset"]),
        )
        for row in table
    ]
    return columns, rows


def _short(count):
    """A count with a unit, three digits of it; "-" for None."""
    if count is None:
        return "-"
    size, unit = next(
        ((size, unit) for size, unit in ((1e9, "G"), (1e6, "M")) if count >= 0.9995 * size), (1e3, "k")
    )
    value = count / size
    digits = max(0, 2 - int(math.log10(max(value, 1))))
    return f"{value:.{digits}f} {unit}"


def _shipped(assets, name):
    path = assets / name if name else None
    return f"{name}, {path.stat().st_size / 1e6:.1f} MB" if path and path.is_file() else "-"


def _version(name, missing="not installed under this name"):
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return missing


def _card(path):
    """First sentence of an asset's card, the Markdown file of the same name."""
    card = path.with_suffix(".md")
    if not card.is_file():
        return "It has no card."
    lines = (line.strip() for line in card.read_text(encoding="utf-8").splitlines())
    return next((line for line in lines if line and not line.startswith(("#", "|", "```"))), "")
