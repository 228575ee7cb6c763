"""Every error that Clipper raises on purpose. Each message names the culprit and says what to do."""


def visible(text: str) -> str:
    """A text of which no letter does anything to a terminal: control characters and half letters as escapes."""
    if text.isprintable():
        return text
    shown = (x if x.isprintable() or x in SPACES else x.encode("unicode_escape").decode() for x in text)
    return "".join(shown)


SPACES = "\n\t\u3000\xa0"


def text_of(error: BaseException) -> str:
    """What somebody else's error says, if that does not fail, too."""
    try:
        return str(error)
    except Exception:
        return "(its text cannot be made)"


def repr_of(x: object) -> str:
    """What it is, in a text: of what has none that can be made, as an integer of 5,000 digits, its type."""
    try:
        return repr(x)
    except Exception:
        return f"something of type {type(x).__name__}, which cannot be shown"


class ClipperError(Exception):
    """Base of all of them: the command line prints these without a traceback. What they quote is shown ``visible``."""

    def __str__(self) -> str:
        return visible(super().__str__())


class ConfigError(ClipperError, ValueError):
    """A setting, or a combination of settings, that cannot work."""


class UnknownFieldError(ConfigError, TypeError):
    """A keyword that no field has."""


class UnknownEnvironmentError(ClipperError, ValueError):
    """No environment goes by that name."""


class EnvironmentContractError(ClipperError, ValueError):
    """An environment returned something other than its spaces promise."""


class EnvWorkerError(ClipperError, RuntimeError):
    """An environment raised an error, or its process died or hung."""


class RankError(ClipperError, RuntimeError):
    """Processes that train together have lost each other, or differ."""


class NonFiniteError(ClipperError, ValueError):
    """NaN or infinity in an observation, a reward or a loss."""


class UnsupportedSpaceError(ClipperError, TypeError):
    """No head or encoder fits this Gymnasium space."""


class SpaceMismatchError(ClipperError, ValueError):
    """A saved policy was made for other spaces than the environment has."""


class DeviceMemoryError(ClipperError, RuntimeError):
    """An update did not fit into the device's memory."""


class SaveError(ClipperError, OSError):
    """What a run has learned cannot be written."""


class ReadError(ClipperError, OSError):
    """A file cannot be read, since the system does not let it; nobody knows whether it is whole."""


class CorruptCheckpointError(ClipperError, ValueError):
    """A checkpoint was cut short or altered."""


class MissingPackageError(ClipperError, ImportError):
    """An optional package is needed; the message gives the command that installs it."""


PACKAGES = {
    "atari": ("ale-py>=0.12",),
    "box2d": ("gymnasium[box2d]",),
    "envpool": ("envpool>=1.2,!=1.2.4,!=1.2.5",),
    "export": ("onnx>=1.17", "onnxruntime>=1.20", "onnxscript>=0.6"),
    "hub": ("huggingface-hub>=0.30",),
    "language": ("transformers>=5.23",),
    "mujoco": ("gymnasium[mujoco]", "mujoco>=3.2"),
    "multiagent": ("mpe2>=1.0", "pettingzoo>=1.24"),
    "play": ("moviepy>=2", "pygame-ce>=2.5"),
}
"""The optional dependencies of pyproject.toml: an installed package cannot be counted on to know its own folder."""


def install_command(extra: str) -> str:
    """The command that installs what an optional part needs, from any folder: Clipper itself is on no index."""
    return "pip install " + " ".join(f'"{package}"' for package in PACKAGES[extra])
