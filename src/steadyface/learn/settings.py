"""Changing nested configurations by text, as the command line does."""

import json
from dataclasses import fields, is_dataclass, replace

from ..errors import InputError


def read_shares(texts):
    """Folder to share of sample sets, each written "folder" or "folder=0.6". Raises InputError for others."""
    shares = {}
    for text in texts:
        folder, _, share = text.partition("=")
        try:
            shares[folder] = float(share or 1)
        except ValueError as e:
            raise InputError(f"a set is written folder or folder=share, got {text!r}") from e
    return shares


def with_setting(config, text):
    """A frozen dataclass with one value replaced.

    text: "name=value" or "part.name=value", the value as JSON or plain text. Raises InputError for an
    unknown name, with the known ones, and for a value of another type than the present one.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"a setting is written name=value, got {text!r}")
    head, _, rest = name.partition(".")
    known = [f.name for f in fields(config)]
    if head not in known:
        raise InputError(f"unknown setting {name!r}: this part has {', '.join(known)}")
    present = getattr(config, head)
    if rest:
        if not is_dataclass(present):
            raise InputError(f"{head!r} has no parts, so {name!r} names nothing")
        return replace(config, **{head: with_setting(present, f"{rest}={value}")})
    return replace(config, **{head: _like(present, value, name)})


def _like(present, text, name):
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text
    if isinstance(present, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if present is not None and type(value) is not type(present):
        raise InputError(f"{name} must be of type {type(present).__name__}, as {present!r} is; got {text!r}")
    return value
