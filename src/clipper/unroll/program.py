"""Which definitions a program reaches, and in which order Python would execute them."""

import ast
import builtins
import copy
import importlib
from collections.abc import Iterator
from pathlib import Path

from clipper.unroll.source import (
    PACKAGE,
    PLAIN,
    ROOT,
    VALUES,
    Definition,
    Function,
    Import,
    Module,
    UnrollError,
    annotated_names,
    annotations,
    attributes,
    bindings,
    global_reads,
    without_annotations,
)  # fmt: skip

MAIN = "__main__"


SAVING = {"state_dict", "load_state_dict"}


class Program:
    """The definitions that ``main`` (Python source that imports from the library) reaches.

    ``entered`` holds (file, line) of functions seen to run: of a dispatched function's cases, those are kept; all are
    kept where none was seen.
    """

    def __init__(self, main: str, entered: set[tuple[str, int]], root: Path = ROOT) -> None:
        self.entered, self.root = entered, root
        self.modules: dict[str, Module] = {}
        self.order: list[Module] = []
        """Modules as their execution ends: what a definition needs stands above it."""
        self.kept: set[Definition] = set()
        self.mentioned: set[str] = set()
        """Attributes that kept code looks up."""
        self.imports: dict[str, Import] = {}
        """What kept code uses from elsewhere."""
        self.only_annotated: set[Definition] = set()
        """Protocols that nothing but annotations names."""
        self.instead: dict[Definition, Definition] = {}
        """Protocol → the class that stands for it in annotations."""
        self.renamed: dict[Import, str] = {}
        """What is from elsewhere and has the name of a definition → what it is called instead."""
        self.read: dict[tuple[Definition, int], set[str]] = {}
        self.visit(Module(MAIN, main))
        self.kept |= set(self.modules[MAIN].definitions)
        self.close()
        self.replace_protocols()
        self.refuse_collisions()

    def load(self, name: str) -> Module:
        if name not in self.modules:
            path = self.root.parent.joinpath(*name.split("."))
            path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            self.visit(Module(name, path.read_text(encoding="utf-8"), path))
        return self.modules[name]

    def visit(self, module: Module) -> None:
        self.modules[module.name] = module
        for imported in module.imports.values():
            if imported.module.split(".")[0] == PACKAGE and imported.module != VALUES:
                self.load(imported.module)
        self.order.append(module)

    def resolve(self, module: Module, name: str) -> Definition | Import | None:
        """What a global name of a module is: a definition, something from outside the library, or a builtin (None)."""
        if name in module.by_name:
            return module.by_name[name]
        imported = module.imports.get(name)
        if imported is None:
            if hasattr(builtins, name):
                return None
            raise UnrollError(f"{module.name} reads {name}, which it neither defines nor imports")
        if imported.module.split(".")[0] != PACKAGE:
            return imported
        if imported.module == VALUES:  # a value becomes a plain dataclass, whose numbers have no ranges
            return None if imported.member in PLAIN else Import("dataclasses", "dataclass", None)
        if imported.member is None or imported.alias not in (None, imported.member):
            raise UnrollError(f"{module.name} imports {imported}: write `from module import name`")
        origin = self.load(imported.module)
        if imported.member not in origin.by_name and imported.member not in origin.imports:
            raise UnrollError(f"{module.name} imports {imported}, which is no definition: import what it holds instead")
        return self.resolve(origin, imported.member)

    def node(self, definition: Definition) -> ast.stmt:
        """The definition without the methods that nothing mentions."""
        dead = self.dead(definition)
        if not dead:
            return definition.node
        node = copy.copy(definition.node)
        assert isinstance(node, ast.ClassDef)
        node.body = [n for n in node.body if n not in dead] or [ast.Pass()]
        return node

    def reads(self, definition: Definition) -> set[str]:
        """Global names that Python reads where it executes the definition."""
        key = definition, len(self.dead(definition))
        if key not in self.read:
            self.read[key] = global_reads(without_annotations(self.node(definition)))
        return self.read[key]

    def dead(self, definition: Definition) -> list[Function]:
        """Methods that nothing calls: not special, not mentioned, and not an override that a foreign base may call.

        The file saves nothing, so what gives and takes a state is among them.
        """
        if not definition.members or definition.is_protocol:
            return []
        live = (self.mentioned - SAVING) | self.inherited(definition)
        return [m for m in definition.members if m.name not in live and not m.name.startswith("__")]

    def inherited(self, definition: Definition) -> set[str]:
        """What a class has from bases outside the library, which may call it."""
        names: set[str] = set()
        for base in definition.node.bases if isinstance(definition.node, ast.ClassDef) else []:
            first, *rest = ast.unparse(base).partition("[")[0].split(".")
            target = self.resolve(definition.module, first)
            if isinstance(target, Definition):
                names |= self.inherited(target)
            elif target is not None:
                value = importlib.import_module(target.module if target.member else first)
                for name in [target.member, *rest] if target.member else rest:
                    value = getattr(value, name)
                names |= set(dir(value))
        return names

    def close(self) -> None:
        """Keep whatever kept definitions need, until nothing is added."""
        before = None
        while before != (now := (len(self.kept), len(self.mentioned))):
            before = now
            for definition in list(self.kept):
                self.expand(definition)

    def expand(self, definition: Definition) -> None:
        module, node = definition.module, self.node(definition)
        if module.strays:
            raise UnrollError(f"{module.name} holds a statement that binds no name: {ast.unparse(module.strays[0])}")
        members = definition.union
        if not members:
            self.mentioned |= attributes(node)
            for name in self.reads(definition):
                self.need(self.resolve(module, name))
        for imported in local_imports(node):
            self.need(self.resolve(self.load(imported.module), imported.member or ""))
        for annotation in annotations(node) + members:
            for name in annotated_names(annotation, module.shapes):
                target = self.resolve(module, name)
                if isinstance(target, Definition) and target.is_protocol:
                    self.only_annotated.add(target)
                elif not (isinstance(target, Definition) and annotation in members):
                    self.need(target)
        self.kept |= self.cases(definition)

    def need(self, target: Definition | Import | None) -> None:
        if isinstance(target, Definition):
            self.kept.add(target)
        elif target is not None and target.module != "jaxtyping":
            name = target.alias or (target.member or target.module.partition(".")[0])
            if self.imports.setdefault(name, target) != target:
                # `import a` and `import a.b` bind the same a; the longer one does both.
                a, b = sorted((self.imports[name], target), key=lambda i: len(i.module))
                if a.member or b.member or a.alias or b.alias or not b.module.startswith(a.module + "."):
                    raise UnrollError(f"{name} means {a} in one file of the library and {b} in another")
                self.imports[name] = b

    def cases(self, definition: Definition) -> set[Definition]:
        """The cases registered for a dispatched function that this program enters."""
        found = {
            d
            for module in self.order
            for d in module.definitions
            if d.extends is not None and self.resolve(module, d.extends) is definition
        }
        seen = {d for d in found if any((str(d.module.path), n) in self.entered for n in range(d.first, d.last + 1))}
        base = any(
            (str(definition.module.path), n) in self.entered for n in range(definition.first, definition.last + 1)
        )
        return seen if seen or base else found

    def replace_protocols(self) -> None:
        """In annotations, let the one class that implements a protocol stand for it; keep the protocol otherwise."""
        while pending := self.only_annotated - self.kept - set(self.instead):
            protocol = min(pending, key=self.position)
            users = [d for d in self.kept if protocol in self.annotated(d)]
            methods = self.methods(protocol)
            candidates = [d for d in self.kept if methods and methods <= provided(d)]
            if len(candidates) == 1 and all(self.position(candidates[0]) < self.position(u) for u in users):
                self.instead[protocol] = candidates[0]
            else:
                self.kept.add(protocol)
                self.close()

    def methods(self, protocol: Definition) -> set[str]:
        """What a protocol asks for, with what it inherits from other protocols."""
        names = {m.name for m in protocol.members}
        for base in protocol.node.bases if isinstance(protocol.node, ast.ClassDef) else []:
            target = self.resolve(protocol.module, base.id) if isinstance(base, ast.Name) else None
            names |= self.methods(target) if isinstance(target, Definition) else set()
        return names

    def annotated(self, definition: Definition) -> Iterator[Definition | Import | None]:
        for annotation in annotations(self.node(definition)) + definition.union:
            for name in annotated_names(annotation, definition.module.shapes):
                yield self.resolve(definition.module, name)

    def position(self, definition: Definition) -> tuple[int, int]:
        return self.order.index(definition.module), definition.first

    def other_name(self, foreign: Import, owner: Definition) -> str:
        """A name for an import whose own the library gives to something else: ``SpacesOneOf`` for ``spaces.OneOf``."""
        name = f"{foreign.module.rpartition('.')[2].capitalize()}{foreign.member}"
        if foreign.member is None or foreign.alias or any(d.name == name for d in self.kept) or name in self.imports:
            raise UnrollError(f"{owner.name} is defined in {owner.module.name} and is also {foreign}")
        self.imports[name] = foreign._replace(alias=name)
        return name

    def refuse_collisions(self) -> None:
        """Raise where one name would mean two things in the file."""
        owner: dict[str, Definition] = {}
        for d in sorted(self.kept, key=self.position):
            if d.name == "_":
                continue
            if (foreign := self.imports.pop(d.name, None)) is not None:
                self.renamed[foreign] = self.other_name(foreign, d)
            if d.name in owner:
                raise UnrollError(f"{d.name} is defined in {owner[d.name].module.name} and in {d.module.name}")
            owner[d.name] = d
        for d in self.kept:
            for name in self.reads(d) & set(owner):
                if self.resolve(d.module, name) is None:
                    raise UnrollError(f"{owner[name].module.name} defines {name}, a builtin in {d.module.name}")


def provided(definition: Definition) -> set[str]:
    """Methods of a class, as a protocol would name them; a module is called by its ``forward``."""
    if definition.is_protocol:
        return set()
    names = {m.name for m in definition.members} | set_on_self(definition.node)
    return names | {"__call__"} if "forward" in names else names


def set_on_self(node: ast.AST) -> set[str]:
    """Attributes that a class sets on its instances."""
    targets = [t for n in ast.walk(node) if isinstance(n, ast.Assign) for t in n.targets]
    return {t.attr for t in targets if isinstance(t, ast.Attribute) and ast.unparse(t.value) == "self"}


def local_imports(node: ast.AST) -> list[Import]:
    """What functions import from the library when they run."""
    nodes = [n for n in ast.walk(node) if isinstance(n, ast.ImportFrom) and (n.module or "").split(".")[0] == PACKAGE]
    found = [imported for n in nodes for imported in bindings(n).values()]
    for imported in found:
        if imported.alias not in (None, imported.member):
            raise UnrollError(f"renamed in a function: {imported}")
    return found
