"""What this installation consists of."""

import os
import platform
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


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
    rows.append(("providers", ", ".join(onnxruntime.get_available_providers())))
    rows.append(("processors", str(os.cpu_count())))
    return rows


def _version(name):
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed under this name"


def _card(path):
    """First sentence of an asset's card, the Markdown file of the same name."""
    card = path.with_suffix(".md")
    if not card.is_file():
        return "It has no card."
    lines = (line.strip() for line in card.read_text(encoding="utf-8").splitlines())
    return next((line for line in lines if line and not line.startswith(("#", "|", "```"))), "")
