"""From a recipe to the definitions of its file."""

import ast
import copy

from clipper.settings.config import Config
from clipper.unroll.calls import UNKNOWN
from clipper.unroll.entry import environment_of
from clipper.unroll.fold import constant, reference
from clipper.unroll.folded import NOTHING, Folded
from clipper.unroll.follow import Follow
from clipper.unroll.follow_recipe import followed
from clipper.unroll.inline import Inline
from clipper.unroll.literals import is_setting, literal
from clipper.unroll.names import Names
from clipper.unroll.prune import Prune
from clipper.unroll.source import Definition, Function, Import, It, bound_names, function_of
from clipper.unroll.syntax import Units, mentions
from clipper.unroll.tidy import tidied


def built(config: Config) -> tuple[Units, Names]:
    """The definitions by name, ``main`` among them, and what they import."""
    program, main = followed(config, environment_of(config))
    settings = [program.real(program.facts["variable", main, name]) for name in ("algorithm", "options")]
    return cut(program, main, settings)


def cut(program: Follow, main: Function, kept: list[object]) -> tuple[Units, Names]:
    """The same of any program that was followed from ``main``; ``kept`` are settings that have to stand there."""
    while True:
        names = Names()
        fold = Folded(program, names, kept)
        units: Units = {"main": [fold.definition(main, "main")]}
        rest = mentions(units["main"][0])
        while rest:
            name = rest.pop()
            if name in names.units and name not in units:
                if reach(program, names.units[name]):
                    break
                units[name] = unit_of(fold, name, names.units[name])
                rest += [m for node in units[name] for m in mentions(node)]
        else:
            rest = []
        if rest:
            continue
        prune = Prune(units, program)
        prune.run()
        while any([Inline(units, prune).run(), tidied(prune)]):
            prune.changed = True
            prune.run()
        more = [x for x in needed(units, kept) if not fold.is_kept(x)]
        if not more:
            return units, names
        kept += more


def reach(program: Follow, thing: Definition | Function) -> bool:
    """Follow a function that only the making of a class calls; True where that was still to be done."""
    function = thing if isinstance(thing, Function) else function_of(thing.module.space.get(thing.name))
    if function is None or function in program.reached or hasattr(function.real, "registry"):
        return False
    program.invoke(function, UNKNOWN)
    program.settle()
    return True


def needed(units: Units, kept: list[object]) -> list[object]:
    """Values in fields that are still read: they have to stand in the file."""
    found = list[object]()
    for node in (n for nodes in units.values() for n in nodes if isinstance(n, ast.ClassDef)):
        for value in kept:
            if type(value) is vars(node)["kind"]:
                names = [
                    n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
                ]
                found += [x for name in names if is_setting(type(x := getattr(value, name)))]
    return found


def unit_of(fold: Folded, name: str, thing: Definition | Function) -> list[ast.stmt]:
    """The statements that define a name."""
    if isinstance(thing, Function):
        return [fold.definition(thing, name)]
    node, real = thing.node, thing.module.space[thing.name]
    if isinstance(node, ast.FunctionDef):
        if hasattr(real, "registry"):
            return dispatched(fold, name, real)
        function = function_of(real)
        assert function is not None
        return [fold.definition(function, name)]
    if isinstance(node, ast.ClassDef):
        return [fold.class_of(real, thing)]
    if isinstance(node, ast.Try):
        return [attempt(fold, thing, node)]
    assert isinstance(node, ast.Assign | ast.AnnAssign)
    assert node.value is not None
    value = node.value
    fold.here = Function(ast.Lambda(NOTHING, value), thing.module)
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
        at = [ast.unparse(t) for t in node.targets[0].elts].index(thing.name)
        part = constant(real) if literal(real) else ast.Subscript(value, constant(at), ast.Load())
        value = value.elts[at] if isinstance(value, ast.Tuple) else part
    return [ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], fold.expr(value)), node)]


def attempt(fold: Folded, thing: Definition, node: ast.Try) -> ast.stmt:
    """A definition that depends on what is installed, as it stands; each name in it is looked up."""
    new, own = copy.deepcopy(node), set(bound_names(node))
    inner = {x.arg for x in ast.walk(new) if isinstance(x, ast.arg)}
    for n in ast.walk(new):
        if (
            isinstance(n, ast.Name)
            and n.id not in own | inner
            and n.id in {**thing.module.imports, **thing.module.definitions}
        ):
            vars(n)["unit"] = n.id = fold.names.of_global(thing.module, n.id)
    return new


def dispatched(fold: Folded, name: str, real: It) -> list[ast.stmt]:
    """A dispatched function with the cases that may run where a call may enter several."""
    found, cases = list[ast.stmt](), {function_of(case) for case in real.registry.values()}
    together = (cases & targets for targets in fold.program.targets.values())
    entered = {case for several in together if len(several) > 1 for case in several}
    for kind, case in real.registry.items():
        function = function_of(case)
        assert function is not None
        if kind is object:
            new = fold.definition(function, name)
            if function not in entered:
                new.body[1:] = ast.parse(f"raise TypeError({new.args.args[0].arg})").body
            new.decorator_list = [reference(fold.names.of_import(Import("functools", "singledispatch", None)))]
            found.insert(0, new)
        elif function in entered:
            new = fold.definition(function, "_")
            new.decorator_list = [ast.parse(f"{name}.register({fold.names.of_object(kind)})", mode="eval").body]
            found.append(new)
    return found
