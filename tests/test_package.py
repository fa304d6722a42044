import ast
import subprocess
import sys
from pathlib import Path

import pytest

import steadyface as sf


def test_functions_win_over_the_modules_of_their_name():
    import steadyface.align
    import steadyface.pipeline
    import steadyface.track

    assert sf.track is steadyface.pipeline.track
    assert sf.align is steadyface.pipeline.align
    assert callable(sf.overlay)


def test_every_public_name_exists():
    for name in sf.__all__:
        assert getattr(sf, name) is not None
    assert set(sf.__all__) <= set(dir(sf))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sf.nonsense


def loaded_after(statement):
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_importing_the_package_imports_nothing_heavy():
    assert not {"numpy", "cv2", "av", "onnxruntime", "torch"} & loaded_after("import steadyface")


def test_the_commands_do_not_import_what_only_training_needs():
    names = loaded_after("import steadyface.cli, steadyface.pipeline, steadyface.live, steadyface.demo")
    assert not {"torch", "numba", "scipy", "anny", "matplotlib", "onnx"} & names


SOURCE = Path(sf.__file__).parent
RUNTIME = {"numpy", "cv2", "onnxruntime", "av", "typer", "rich"}
TRAINING = {"learn", "networks"}
TOP = {"pipeline", "cli", "demo"}
#: What the scripts of other tools import in environments of their own, and each other: they run as files.
PEERS = {"mediapipe", "dlib", "adapter", "mesh_edges"}


def imports(path):
    """Names that a file imports: third-party packages, and modules of steadyface by their first part."""
    package = path.relative_to(SOURCE).parent.parts
    outside, inside = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            outside |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            outside.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            inside.add(next((part for part in base if part), ""))
            if not node.module and len(package) < node.level:
                inside |= {alias.name for alias in node.names}
    return outside - set(sys.stdlib_module_names) - {"steadyface", "__future__"}, inside


RUNTIME_FILES = sorted(p for p in SOURCE.rglob("*.py") if p.relative_to(SOURCE).parts[0] not in TRAINING)


@pytest.mark.parametrize("path", RUNTIME_FILES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_arrows_point_one_way(path):
    """What runs for users needs no training code; stages know nothing of the pipeline above them."""
    outside, inside = imports(path)
    assert outside <= (RUNTIME | PEERS if path.parent.name == "peers" else RUNTIME)
    # The command to train imports its code when it is called, and not before: see above.
    assert not inside & TRAINING or path.name == "cli.py"
    stage = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if stage not in {*TOP, "__init__", "evaluate"}:
        assert not inside & TOP
