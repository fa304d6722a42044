import sys
from pathlib import Path

import pytest

from steadyface.errors import InputError
from steadyface.evaluate.peers import environment


def test_environments_lie_where_the_variable_says_or_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STEADYFACE_PEERS", str(tmp_path))
    assert environment.folder() == tmp_path
    monkeypatch.delenv("STEADYFACE_PEERS")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert environment.folder() == tmp_path / "cache" / "steadyface" / "peers"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert environment.folder() == Path.home() / ".cache" / "steadyface" / "peers"


def test_an_unknown_environment_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="unknown environment 'medipipe': known are mediapipe, dlib"):
        environment.prepare("medipipe")


def fake_python(path, status=0):
    """A python that makes environments of nothing but itself, and notes what it is asked to do."""
    path.write_text(
        f'#!/bin/sh\necho "$@" >> {path}.log\necho a warning >&2\necho it does not work >&2\n'
        f'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp {path} "$3/bin/python"; fi\nexit {status}\n'
    )
    path.chmod(0o755)
    return path


posix = pytest.mark.skipif(sys.platform == "win32", reason="environments are laid out differently there")


@posix
def test_an_environment_is_made_once_and_found(tmp_path, monkeypatch):
    monkeypatch.setenv("STEADYFACE_PEERS", str(tmp_path / "peers"))
    python = fake_python(tmp_path / "python")
    made = environment.prepare("mediapipe", python=python, note=lambda _: None)
    assert made == environment.python_of("mediapipe") == tmp_path / "peers" / "mediapipe" / "bin" / "python"
    environment.prepare("mediapipe", python=python, note=lambda _: None)
    log = Path(f"{python}.log").read_text().splitlines()
    assert [line.split()[1] for line in log] == ["venv", "pip", "pip"]
    assert log[1].endswith("mediapipe==0.10.21")


@posix
def test_a_file_of_a_debian_package_is_brought_along(tmp_path, monkeypatch):
    monkeypatch.setenv("STEADYFACE_PEERS", str(tmp_path / "peers"))
    wanted = environment.Environment(
        ("a",), "some-data", str(tmp_path / "lib" / "a.dat").lstrip("/"), "share"
    )
    monkeypatch.setitem(environment.ENVIRONMENTS, "tool", wanted)
    python = fake_python(tmp_path / "python")
    monkeypatch.setattr(environment.shutil, "which", lambda _: None)
    with pytest.raises(InputError, match=r"a\.dat is part of Debian's package some-data.* put it at .*share"):
        environment.prepare("tool", python=python, note=lambda _: None)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.dat").write_text("weights")
    environment.prepare("tool", python=python, note=lambda _: None)
    assert (tmp_path / "peers" / "tool" / "share" / "a.dat").read_text() == "weights"


@posix
def test_a_step_that_fails_is_quoted(tmp_path, monkeypatch):
    monkeypatch.setenv("STEADYFACE_PEERS", str(tmp_path / "peers"))
    with pytest.raises(InputError, match="nothing: No such file"):
        environment.prepare("mediapipe", python=tmp_path / "nothing", note=lambda _: None)
    with pytest.raises(InputError, match=r"environment of mediapipe: `.* venv .*` says: it does not work"):
        environment.prepare("mediapipe", python=fake_python(tmp_path / "python", 1), note=lambda _: None)
