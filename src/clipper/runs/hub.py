"""A run's folder from the Hugging Face hub: two files by name, of one commit, read as any file from disk is."""

import os
import re
from pathlib import Path

from clipper.errors import ConfigError, CorruptCheckpointError, MissingPackageError, install_command
from clipper.settings.config_json import read_settings
from clipper.storage import json_text

PREFIX = "hub:"
ADDRESS = re.compile(r"hub:(?P<name>[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95})@(?P<revision>[0-9a-f]{40})", re.ASCII)
LARGEST_FILE = 2_000_000_000  # bytes


def folder_of(address: str, weights: str) -> Path:
    """Download what ``address`` names; the folder that holds its ``config.json`` and the file ``weights``.

    ``address`` is ``hub:OWNER/NAME@REVISION``, where the revision is the whole hash of a commit: branches and tags may
    be moved after somebody has looked at them. The settings come first and are checked, before the weights are fetched;
    no other file of the repository is. What has been downloaded stays in the user's cache.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise ConfigError(
            f"{address!r} is no address on the hub: it must be hub:OWNER/NAME@REVISION, whose revision is the 40 "
            "hexadecimal digits of a commit, since branches and tags can be moved"
        )
    name, revision = match["name"], match["revision"]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "clipper" / "hub" / name / revision
    folder.mkdir(parents=True, exist_ok=True)
    read_settings(json_text.read(file_of(name, "config.json", revision, folder)))
    file_of(name, weights, revision, folder)
    return folder


def file_of(name: str, file: str, revision: str, folder: Path) -> Path:
    """One file in the folder, downloaded unless it is there."""
    path = folder / file
    if not path.exists():
        download(name, file, revision, folder)
    if path.is_symlink() or not path.is_file():
        raise CorruptCheckpointError(f"{name} on the hub has no file {file} at {revision}")
    return path


def download(name: str, file: str, revision: str, folder: Path) -> None:
    """Fetch one file of one commit into the folder; one that is too large is refused by what the hub says of it."""
    try:
        import huggingface_hub as hub  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingPackageError(f"loading from the hub needs huggingface-hub: {install_command('hub')}") from error
    try:
        size = hub.get_hf_file_metadata(hub.hf_hub_url(name, file, revision=revision)).size
        if size is None or size > LARGEST_FILE:
            raise CorruptCheckpointError(f"{file} of {name} has {size} bytes, not {LARGEST_FILE:,} at most")
        hub.hf_hub_download(name, file, revision=revision, local_dir=folder)
    except CorruptCheckpointError:
        raise
    except (OSError, ValueError) as error:  # its errors, of the network and of names
        raise CorruptCheckpointError(f"{file} of {name} at {revision} cannot be had from the hub: {error}") from error
