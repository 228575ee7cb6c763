"""Writes src/clipper/cli/help_texts.json, from which the command line answers --help before torch is imported.

Commands, options, defaults and their words are those of the dataclasses, to which tests/pages/test_help.py holds them.
"""

import json
from pathlib import Path

from clipper.algorithms import held_by
from clipper.cli.arguments import ALGORITHMS, train_defaults
from clipper.cli.command_options import Train, Unroll
from clipper.cli.commands import COMMANDS
from clipper.cli.help_lines import Fields
from clipper.cli.quick_help import FILE, Case, Texts
from clipper.cli.short_help import command_of, fields_of, parts
from clipper.environments.atari import is_atari
from clipper.networks.heads import HeadOptions
from clipper.networks.policy_options import EncoderOptions, PolicyOptions
from clipper.settings.config import Config
from clipper.settings.defaults import config_for
from clipper.settings.presets import PRESETS
from clipper.settings.recipes import RECIPES

PLAIN = "CartPole-v1"
"""An environment whose settings begin with the defaults of all."""


def collected() -> Texts:
    """The content of the file, from the sources."""
    config = Config(env=PLAIN)
    values = [*(kind() for kind in ALGORITHMS.values()), config, PolicyOptions(), EncoderOptions(), HeadOptions()]
    classes: dict[str, Fields] = {type(x).__name__: fields_of(x) for x in values}
    classes |= {"train": fields_of(Train(config=config)), "unroll": fields_of(Unroll(config=config))}
    commands = {name: command_of(kind) for name, (_, kind) in COMMANDS.items()}
    for name in ("train", "unroll", "train-language"):  # whose options depend on what is named
        commands[name] = {"about": commands[name]["about"], "arguments": {}, "options": {}}
    ids = {recipe().env for recipe in RECIPES.values()}
    return {
        "commands": commands,
        "algorithms": list(ALGORITHMS),
        "recipes": list(RECIPES),
        "presets": list(PRESETS),
        "environments": sorted(env for env in ids if not {",", ":"} & set(env) and not is_atari(env)),
        "classes": classes,
        "cases": {name: case(name, classes) for name in ("", *ALGORITHMS, *RECIPES)},
    }


def case(name: str, classes: dict[str, Fields]) -> Case:
    """What ``train`` begins with where this is named: an algorithm, a recipe or nothing."""
    config = train_defaults([name])[0] if name in RECIPES else config_for(PLAIN)
    if name in ALGORITHMS:
        config = train_defaults([PLAIN, name])[0]
    kinds = [*dict.fromkeys(type(x).__name__ for x in (config.algorithm, held_by(config.algorithm)))]
    usual = {field: default for fields in classes.values() for field, (default, _) in fields.items()}
    for kind in ("Config", *kinds, "PolicyOptions", "EncoderOptions", "HeadOptions"):
        usual |= {field: default for field, (default, _) in classes[kind].items()}
    found = {field: x for part in list(parts(Train(config=config)))[1:] for field, (x, _) in part.items()}
    return {"algorithm": kinds, "changed": {field: x for field, x in found.items() if x != usual[field]}}


def text() -> str:
    """The file's text: an entry of the innermost tables on each line."""
    return f"{laid_out(collected())}\n"


def laid_out(tree: object, indent: str = "") -> str:
    """JSON in which a table of tables has lines of its own."""
    if not isinstance(tree, dict) or not tree:
        return json.dumps(tree, ensure_ascii=False)
    inner = ",\n".join(f"{indent} {json.dumps(key)}: {laid_out(x, f'{indent} ')}" for key, x in tree.items())
    return f"{{\n{inner}\n{indent}}}"


if __name__ == "__main__":
    Path(FILE).write_text(text(), encoding="utf-8")
