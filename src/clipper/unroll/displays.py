"""What lists, tuples, dicts, comprehensions and items of them may be, and what assignments bind."""

import ast
from abc import abstractmethod

import gymnasium

from clipper.unroll.facts import ANY, MOST, NEVER, items, iterator, join, known, the
from clipper.unroll.foreign import Foreign
from clipper.unroll.literals import literal
from clipper.unroll.source import Function, It
from clipper.unroll.things import Cell, Fact, Items, Known, Of, Thing


class Displays(Foreign):
    """Follows what is put together and taken apart."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[ast.AST, Fact] = {}
        """Expression → what it may be."""
        self.present: tuple[str, Fact] = "", NEVER
        """A comprehension's variable, and what it is at the moment."""

    @property
    def here(self) -> Function:
        """The function that is looked at."""
        assert self.now is not None
        return self.now

    @abstractmethod
    def look(self, node: ast.expr) -> Fact:
        """What an expression may be."""

    @abstractmethod
    def truth(self, fact: Fact) -> bool | None:
        """Does it count as true, where that is known?"""

    def spread(self, nodes: list[ast.expr]) -> tuple[list[Fact], bool]:
        """Elements of a display or arguments of a call, and whether there may be others."""
        found, more = [], False
        for node in nodes:
            if isinstance(node, ast.Starred):
                fact = self.look(node.value)
                exact = self.iterated(fact)[1]
                found += (exact or ()) if fact else [NEVER]
                more = more or (exact is None and bool(fact))
            else:
                found.append(self.look(node))
        return found, more

    def rest_of(self, nodes: list[ast.expr]) -> Fact:
        """What further arguments may be."""
        found = [self.iterated(self.found[n.value]) for n in nodes if isinstance(n, ast.Starred)]
        return join(*(each for each, exact in found if exact is None))

    def of_tuple(self, node: ast.Tuple) -> Fact:
        found, more = self.spread(node.elts)
        if NEVER in found:
            return NEVER
        if more:
            each = [self.iterated(self.look(n.value))[0] for n in node.elts if isinstance(n, ast.Starred)]
            return iterator(join(*found, *each))
        facts = [the(fact) for fact in found]
        plain = [fact.it for fact in facts if fact is not None and literal(fact.it)]
        return known(tuple(plain)) if len(plain) == len(found) else items(found)

    def of_list(self, node: ast.List) -> Fact:
        found, more = self.spread(node.elts)
        cell = Cell(node, list)
        if more:
            each = [self.iterated(self.look(n.value))[0] for n in node.elts if isinstance(n, ast.Starred)]
            self.blur(cell, join(*found, *each))
        else:
            self.fill(cell, dict(enumerate(found)))
        return frozenset({cell})

    def of_set(self, node: ast.Set) -> Fact:
        found, more = self.spread(node.elts)
        return ANY if more else iterator(join(*found))

    def of_dict(self, node: ast.Dict) -> Fact:
        cell = Cell(node, dict)
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                for thing in self.look(value):
                    entries = self.entries(thing) if isinstance(thing, Cell) else None
                    if isinstance(thing, Known) and isinstance(thing.it, dict):
                        entries = {k: known(x) for k, x in thing.it.items()}
                    if entries is None:
                        self.blur(cell, ANY)
                    else:
                        self.fill(cell, entries)
                continue
            name, fact = the(self.look(key)), self.look(value)
            if name is None or not literal(name.it):
                self.blur(cell, fact)
            else:
                self.fill(cell, {name.it: fact})
        return frozenset({cell})

    def generators(self, nodes: list[ast.comprehension]) -> bool:
        """Bind a comprehension's variables; False where it makes nothing."""
        for node in nodes:
            each, exact = self.iterated(self.look(node.iter))
            if exact == () or not each:
                return False
            self.assign(node.target, each)
            for test in node.ifs:
                if self.truth(self.look(test)) is False:
                    return False
        return True

    def one_by_one(self, node: ast.ListComp | ast.GeneratorExp) -> list[Fact] | None:
        """What a comprehension over so many things makes of each, where they are known."""
        first, *others = node.generators
        exact = self.iterated(self.look(first.iter))[1]
        if exact is None or others or first.ifs or len(exact) > MOST:
            return None
        found = []
        for each in exact:
            self.assign(first.target, each)
            if isinstance(first.target, ast.Name):
                self.present = first.target.id, each
            found.append(self.look(node.elt))
            self.present = "", NEVER
        self.look(node.elt)  # what is noted holds for all
        return found

    def of_listcomp(self, node: ast.ListComp) -> Fact:
        cell = Cell(node, list)
        if (found := self.one_by_one(node)) is not None:
            self.fill(cell, dict(enumerate(found)))
        elif self.generators(node.generators):
            self.blur(cell, self.look(node.elt))
        return frozenset({cell})

    def of_generatorexp(self, node: ast.GeneratorExp) -> Fact:
        if (found := self.one_by_one(node)) is not None:
            return items(found)
        return iterator(self.look(node.elt)) if self.generators(node.generators) else items(())

    def of_setcomp(self, node: ast.SetComp) -> Fact:
        return iterator(self.look(node.elt)) if self.generators(node.generators) else ANY

    def of_dictcomp(self, node: ast.DictComp) -> Fact:
        cell = Cell(node, dict)
        if self.generators(node.generators):
            self.look(node.key)
            self.blur(cell, self.look(node.value))
        return frozenset({cell})

    def of_subscript(self, node: ast.Subscript) -> Fact:
        owner, index = self.look(node.value), self.look(node.slice)
        return join(*(self.item(thing, index) for thing in owner))

    def of_slice(self, node: ast.Slice) -> Fact:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.look(child)
        return ANY

    def item(self, thing: Thing, index: Fact) -> Fact:  # noqa: PLR0911 (one for each kind)
        """What ``x[i]`` is."""
        key = the(index)
        if isinstance(thing, Cell):
            entries = self.entries(thing)
            if entries is None or key is None:
                return self.contents(thing)
            return entries.get(key.it, NEVER)
        elements = self.elements(thing)
        if elements is not None and key is not None and isinstance(key.it, int):
            return elements[key.it] if -len(elements) <= key.it < len(elements) else NEVER
        if isinstance(thing, Known) and isinstance(thing.it, dict | gymnasium.spaces.Dict) and key is not None:
            it: It = thing.it
            return known(it[key.it]) if key.it in it else NEVER
        if isinstance(thing, Known) and isinstance(thing.it, type):
            return frozenset({thing})
        if elements is not None:
            return join(*elements)
        return join(thing.each) if isinstance(thing, Items) else ANY

    def of_yield(self, node: ast.Yield) -> Fact:
        self.put(self.look(node.value) if node.value else known(None), "yield", self.here)
        return ANY

    def of_yieldfrom(self, node: ast.YieldFrom) -> Fact:
        self.put(self.iterated(self.look(node.value))[0], "yield", self.here)
        return ANY

    def of_namedexpr(self, node: ast.NamedExpr) -> Fact:
        fact = self.look(node.value)
        self.assign(node.target, fact)
        return fact

    def assign(self, target: ast.expr, fact: Fact) -> None:  # noqa: PLR0912 (one for each kind)
        """Bind a target."""
        if isinstance(target, ast.Name):
            self.found[target] = fact
            function = self.here
            self.put(fact, "variable", function, target.id)
        elif isinstance(target, ast.Tuple | ast.List):
            each, exact = self.iterated(fact)
            starred = [i for i, t in enumerate(target.elts) if isinstance(t, ast.Starred)]
            if exact is not None and starred and len(exact) >= len(target.elts) - 1:
                at, many = starred[0], len(exact) - len(target.elts) + 1
                exact = (*exact[:at], items(exact[at : at + many]), *exact[at + many :])
            for i, part in enumerate(target.elts):
                known_part = exact is not None and i < len(exact)
                self.assign(part, exact[i] if exact is not None and known_part else each)
        elif isinstance(target, ast.Starred):
            whole = len(fact) == 1 and isinstance(next(iter(fact)), Items)
            self.assign(target.value, fact if whole or not fact else iterator(fact))
        elif isinstance(target, ast.Attribute):
            for thing in self.look(target.value):
                if isinstance(thing, Of):
                    self.put(fact, "attribute", thing.kind, target.attr)
        elif isinstance(target, ast.Subscript):
            key = the(self.look(target.slice))
            for thing in self.look(target.value):
                if not isinstance(thing, Cell):
                    continue
                if thing.kind is dict and key is not None and literal(key.it):
                    self.fill(thing, {key.it: fact})
                else:
                    self.blur(thing, fact)
