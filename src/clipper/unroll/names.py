"""One name in the file for everything that code may mention, whatever it is called where it is defined."""

import collections.abc
import importlib
import inspect
import re
import sys
from types import FunctionType, ModuleType

from clipper.unroll.source import PACKAGE, Definition, Function, Import, It, Module, module_of, resolve

PLACES = ("torch.nn", "torch", "gymnasium.spaces", "gymnasium.vector", "gymnasium", "numpy", "torch.nn.functional")
"""Where what is from elsewhere is looked for, if an object alone is known."""


class Names:
    """Names by what they stand for."""

    def __init__(self) -> None:
        self.taken: dict[str, object] = {}
        self.names: dict[object, str] = {}
        self.units: dict[str, Definition | Function] = {}
        """What the file may define, by its name there."""
        self.imports: dict[str, Import] = {}

    def name_for(self, thing: object, wanted: str, other: str) -> str:
        if thing not in self.names:
            taken = wanted in self.taken or (isinstance(thing, Definition | Function) and hasattr(__builtins__, wanted))
            self.names[thing] = name = other if taken else wanted
            self.taken[name] = thing
        return self.names[thing]

    def of_definition(self, definition: Definition) -> str:
        last = definition.module.name.rpartition(".")[2]
        name = self.name_for(definition, definition.name, f"{definition.name}_of_{last}")
        self.units[name] = definition
        return name

    def of_function(self, function: Function, wanted: str) -> str:
        """A method or a case that becomes a function of its own."""
        name = self.name_for(function, wanted, f"{wanted}_{len(self.names)}")
        self.units[name] = function
        return name

    def of_import(self, imported: Import) -> str:
        if imported.module == "typing" and imported.member in collections.abc.__all__:
            imported = imported._replace(module="collections.abc")
        wanted = imported.alias or imported.member or imported.module.partition(".")[0]
        key: object = imported if imported.member or imported.alias else wanted
        last = imported.module.rpartition(".")[2]
        name = self.name_for(key, wanted, f"{last.capitalize()}{wanted}")
        if name != wanted:
            imported = imported._replace(alias=name)
        before = self.imports.get(name, imported)
        self.imports[name] = max(before, imported, key=lambda i: len(i.module))
        return name

    def of_global(self, module: Module, name: str) -> str:
        """What the file calls a global name of a module."""
        found = resolve(module, name)
        if found is None:
            return name
        return self.of_import(found) if isinstance(found, Import) else self.of_definition(found)

    def of_object(self, it: It) -> str | None:
        """An expression for a function or class; None where none is known."""
        own, name = getattr(it, "__module__", None) or "", getattr(it, "__qualname__", "")
        if isinstance(it, ModuleType) or (not isinstance(it, type | FunctionType) and not callable(it)):
            return None
        if own.partition(".")[0] == PACKAGE:
            module = module_of(own)
            there = name in module.definitions and inspect.unwrap(module.space.get(name, 0)) is inspect.unwrap(it)
            return self.of_definition(module.definitions[name]) if there else None
        short = getattr(it, "__name__", "")
        for place in PLACES:
            if own.partition(".")[0] != place.partition(".")[0]:
                continue
            if getattr(sys.modules.get(place) or importlib.import_module(place), short, None) is it:
                first, _, rest = place.partition(".")
                if place == "torch.nn":
                    return f"{self.of_import(Import('torch', 'nn', None))}.{short}"
                if rest:
                    return self.of_import(Import(place, short, None))
                alias = "np" if first == "numpy" else None
                return f"{self.of_import(Import(first, None, alias))}.{short}"
        return None


def snake(name: str) -> str:
    """ClippedMSE → clipped_mse."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
