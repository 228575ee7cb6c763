"""A short program that runs an exported ONNX file, with numpy and onnxruntime alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clipper.networks.export import session_of
from clipper.spaces.observations import observation_leaves
from clipper.spaces.space_json import space_from_json
from clipper.storage import files
from clipper.storage.json_text import parse

DTYPES = {"float": "float32", "double": "float64"}  # where ONNX's name is not numpy's
COMMENT = 60  # letters behind an input

BEGIN = """\
import numpy as np
import onnxruntime
{silence}
session = onnxruntime.InferenceSession({file}, providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
given = {{  # a row for each observation
{given}
}}
"""
QUIET = "\nonnxruntime.set_default_logger_severity(3)  # it warns of inputs that may be left out"
STEP = "print(dict(zip(names, session.run(None, given))))\n"
STEPS = """\
memory = {{  # as an episode begins
{memory}
}}
for _ in range(2):  # steps of the episode
    found = dict(zip(names, session.run(None, given | memory)))
    memory = {{name: found.pop("next_" + name) for name in memory}}
    print(found)
"""


def program(file: Path) -> str:
    """The program for this file: a row of every input that it cannot do without, and what comes out."""
    file = files.from_user(file)
    session = session_of(str(file))
    facts = session.get_modelmeta().custom_metadata_map
    space = space_from_json(parse(facts["observation_space"], str(file)))
    least = {".".join(map(str, ("obs", *leaf.path))): leaf.least for leaf in observation_leaves(space)}
    lines = {
        taken.name: f"    {quoted(taken.name)}: {row_of(taken.type, taken.shape, least.get(taken.name))},"
        f"{comment(facts[taken.name])}"
        for taken in session.get_inputs()
    }
    remembered = [name for name in lines if name.split(".")[0] == "memory"]
    given = "\n".join(line for name, line in lines.items() if name not in remembered)
    silence = QUIET if session.get_overridable_initializers() else ""
    begin = BEGIN.format(file=quoted(str(file)), given=given, silence=silence)
    return begin + (STEPS.format(memory="\n".join(lines[name] for name in remembered)) if remembered else STEP)


def row_of(kind: str, sizes: Sequence[int], least: np.ndarray | np.integer | None) -> str:
    """What makes one row of an input: zeros, the least of choices, masks that allow everything."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    shape, dtype = (1, *sizes[1:]), DTYPES.get(name, name)
    if dtype == "bool":
        return f'np.ones({shape}, "{dtype}")'
    if least is None or not np.any(least):
        return f'np.zeros({shape}, "{dtype}")'
    return f'np.full({shape}, {np.asarray(least).tolist()}, "{dtype}")'


def quoted(text: str) -> str:
    """As Python reads it, in double quotes where it holds none."""
    return f'"{repr(text)[1:-1]}"' if not set(text) & {"'", '"'} else repr(text)


def comment(fact: str) -> str:
    """What the file says of an input, behind its dtype and shape."""
    text = fact.partition("], ")[2]
    return f"  # {text if len(text) <= COMMENT else text[: COMMENT - 3] + '...'}"
