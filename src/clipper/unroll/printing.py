"""Expressions as text, on one line or, where that is too long, broken as ruff breaks them."""

import ast
from typing import NamedTuple

WIDTH = 120
OPERATORS: dict[type, tuple[str, int]] = {
    ast.Or: ("or", 3), ast.And: ("and", 4), ast.BitOr: ("|", 7), ast.BitXor: ("^", 8), ast.BitAnd: ("&", 9),
    ast.LShift: ("<<", 10), ast.RShift: (">>", 10), ast.Add: ("+", 11), ast.Sub: ("-", 11), ast.Mult: ("*", 12),
    ast.Div: ("/", 12), ast.FloorDiv: ("//", 12), ast.Mod: ("%", 12), ast.MatMult: ("@", 12), ast.Pow: ("**", 14),
    ast.Is: ("is", 6), ast.IsNot: ("is not", 6), ast.In: ("in", 6), ast.NotIn: ("not in", 6), ast.Eq: ("==", 6),
    ast.NotEq: ("!=", 6), ast.Lt: ("<", 6), ast.LtE: ("<=", 6), ast.Gt: (">", 6), ast.GtE: (">=", 6),
}  # fmt: skip
"""Sign and precedence; what binds tighter has more."""
UNARY: dict[type, tuple[str, int]] = {
    ast.Not: ("not ", 5), ast.USub: ("-", 13), ast.UAdd: ("+", 13), ast.Invert: ("~", 13),
}  # fmt: skip
OPPOSITE = {ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
ATOM = 16
COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
BRACKETS = {ast.Tuple: "()", ast.GeneratorExp: "()", ast.List: "[]", ast.ListComp: "[]"}


def text(node: ast.AST, least: int = 0) -> str:
    """On one line; in brackets where it binds less than ``least``."""
    found, precedence = piece(node)
    return f"({found})" if precedence < least else found


def piece(node: ast.AST) -> tuple[str, int]:  # noqa: PLR0911, PLR0912 (one for each kind)
    """The text, and how tightly it binds."""
    match node:
        case ast.Constant():
            return constant(node.value), ATOM if not isinstance(node.value, int | float) else 15
        case ast.JoinedStr():
            return joined(node), ATOM
        case ast.Name():
            return node.id, ATOM
        case ast.Attribute():
            return f"{text(node.value, ATOM)}.{node.attr}", ATOM
        case ast.Call():
            return f"{text(node.func, ATOM)}({within(node)})", ATOM
        case ast.Subscript():
            return f"{text(node.value, ATOM)}[{index(node.slice)}]", ATOM
        case ast.BinOp():
            return binary(node)
        case ast.BoolOp():
            sign, precedence = OPERATORS[type(node.op)]
            return f" {sign} ".join(text(v, precedence + 1) for v in node.values), precedence
        case ast.UnaryOp(op=ast.Not(), operand=ast.Compare(left=left, ops=[op], comparators=[right])) if (
            opposite := OPPOSITE.get(type(op))
        ):
            return piece(ast.Compare(left, [opposite()], [right]))
        case ast.UnaryOp():
            sign, precedence = UNARY[type(node.op)]
            return f"{sign}{text(node.operand, precedence)}", precedence
        case ast.Compare():
            parts = [text(node.left, 7)]
            for op, right in zip(node.ops, node.comparators, strict=True):
                parts += [OPERATORS[type(op)][0], text(right, 7)]
            return " ".join(parts), 6
        case ast.IfExp():
            return f"{text(node.body, 3)} if {text(node.test, 3)} else {text(node.orelse, 2)}", 2
        case ast.Lambda():
            given = parameters(node.args)
            return f"lambda{' ' * bool(given)}{', '.join(given).replace(' = ', '=')}: {text(node.body, 1)}", 1
        case ast.Starred():
            return f"*{text(node.value, 7)}", 1
        case ast.NamedExpr():
            return f"{node.target.id} := {text(node.value, 1)}", 0
        case ast.Yield():
            return f"yield {text(node.value)}" if node.value else "yield", 0
        case ast.YieldFrom():
            return f"yield from {text(node.value)}", 0
        case ast.Tuple():
            return f"({within(node)}{',' * (len(node.elts) == 1)})", ATOM
        case ast.List() | ast.Set() | ast.Dict() | ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            left, right = BRACKETS.get(type(node), "{}")
            return f"{left}{within(node)}{right}", ATOM
    raise ValueError(ast.dump(node))


def binary(node: ast.BinOp) -> tuple[str, int]:
    """An operator between two operands."""
    sign, precedence = OPERATORS[type(node.op)]
    if isinstance(node.op, ast.Pow):
        simple = all(is_simple(n) for n in (node.left, node.right))
        middle = sign if simple else f" {sign} "
        return f"{text(node.left, precedence + 1)}{middle}{text(node.right, precedence - 1)}", precedence
    return f"{text(node.left, precedence)} {sign} {text(node.right, precedence + 1)}", precedence


def is_simple(node: ast.AST) -> bool:
    """As ruff has it for powers: names, numbers, and attributes of these."""
    if isinstance(node, ast.UnaryOp):
        return is_simple(node.operand) and not isinstance(node.op, ast.Not)
    return isinstance(node, ast.Constant | ast.Name) or (isinstance(node, ast.Attribute) and is_simple(node.value))


class Part(NamedTuple):
    """One of those that stand in brackets: an expression, and what belongs before it."""

    before: str
    node: ast.expr
    least: int = 1

    def __str__(self) -> str:
        return f"{self.before}{text(self.node, self.least)}"


def parts_of(node: ast.AST) -> list[Part]:
    """What stands in the brackets of a call, a display or a comprehension."""
    match node:
        case ast.Call(args=[ast.GeneratorExp() as alone], keywords=[]):
            return parts_of(alone)  # which needs no brackets of its own
        case ast.Call():
            named = [Part(f"{k.arg}=", k.value) if k.arg else Part("**", k.value, 7) for k in node.keywords]
            return [*(Part("", a) for a in node.args), *named]
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            return [Part("**", v, 7) if k is None else Part(f"{text(k, 1)}: ", v) for k, v in pairs]
        case ast.Tuple() | ast.List() | ast.Set():
            return [Part("", n) for n in node.elts]
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            found = [
                Part(f"{text(node.key, 1)}: ", node.value) if isinstance(node, ast.DictComp) else Part("", node.elt)
            ]
            for g in node.generators:
                found += [Part(f"for {bare(g.target)} in ", g.iter, 3), *(Part("if ", test, 3) for test in g.ifs)]
            return found
    return []


def sign_between(node: ast.AST) -> str:
    """What separates them."""
    alone = node.args[0] if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords else node
    return "" if isinstance(alone, COMPREHENSIONS) and (alone is node or isinstance(alone, ast.GeneratorExp)) else ","


def within(node: ast.AST) -> str:
    """All of them on one line."""
    return f"{sign_between(node)} ".join(map(str, parts_of(node)))


def bare(node: ast.expr) -> str:
    """A tuple of several without brackets."""
    return within(node) if isinstance(node, ast.Tuple) and len(node.elts) > 1 else text(node)


def index(node: ast.expr) -> str:
    """What stands in square brackets."""
    if isinstance(node, ast.Tuple) and node.elts:
        return ", ".join(index(n) for n in node.elts) + "," * (len(node.elts) == 1)
    if not isinstance(node, ast.Slice):
        return text(node, 1)
    ends = [n for n in (node.lower, node.upper, node.step) if n is not None]
    plain = all(isinstance(n, ast.Constant | ast.Name) or (isinstance(n, ast.UnaryOp) and is_simple(n)) for n in ends)
    lower, upper = (text(n, 1) if n is not None else "" for n in (node.lower, node.upper))
    found = f"{lower}:{upper}" if plain else f"{lower}{' ' * bool(lower)}:{' ' * bool(upper)}{upper}"
    return found if node.step is None else f"{found}:{text(node.step, 1)}"


def constant(value: object) -> str:
    """A literal."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float):
        found = f"{value:g}" if float(f"{value:g}") == value and abs(value) >= 1e6 else repr(value)
        return found.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
        return f"{value:_}"
    return "..." if value is ... else repr(value)


def quoted(value: str) -> str:
    """In double quotes where that needs no more escapes."""
    found = repr(value)
    if found[0] == '"' or '"' in value:
        return found
    return f'"{found[1:-1]}"'


def joined(node: ast.JoinedStr) -> str:
    """An f-string, in single quotes where its own text has double ones.

    Before Python 3.12 strings within its braces must be in the quotes that it is not in itself.
    """
    own = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
    quote, other = ("'", '"') if '"' in own and "'" not in own else ('"', "'")
    found = ""
    for part in node.values:
        if isinstance(part, ast.Constant):
            escaped = repr(f'"{part.value}')[2:-1].replace("\\'", "'").replace(quote, f"\\{quote}")
            found += escaped.replace("{", "{{").replace("}", "}}")
        elif isinstance(part, ast.FormattedValue):
            kind = {114: "!r", 115: "!s", 97: "!a"}.get(part.conversion, "")
            spec = part.format_spec
            shown = ":" + joined(spec)[2:-1] if isinstance(spec, ast.JoinedStr) else ""
            found += "{" + text(part.value).replace(quote, other) + kind + shown + "}"
    return f"f{quote}{found}{quote}"


def parameters(node: ast.arguments) -> list[str]:
    """Of a function, each with its annotation and default."""
    places = [*node.posonlyargs, *node.args]
    defaults: list[ast.expr | None] = [None] * (len(places) - len(node.defaults)) + list(node.defaults)
    found = [parameter(x, default) for x, default in zip(places, defaults, strict=True)]
    if node.vararg:
        found.append(f"*{parameter(node.vararg, None)}")
    elif node.kwonlyargs:
        found.append("*")
    found += [parameter(x, default) for x, default in zip(node.kwonlyargs, node.kw_defaults, strict=True)]
    return [*found, f"**{parameter(node.kwarg, None)}"] if node.kwarg else found


def parameter(x: ast.arg, default: ast.expr | None) -> str:
    """One parameter."""
    hint = f": {text(x.annotation)}" if x.annotation is not None else ""
    value = "" if default is None else f" = {text(default, 1)}" if hint else f"={text(default, 1)}"
    return f"{x.arg}{hint}{value}"


# Broken over several lines.


def laid_out(prefix: str, node: ast.expr, suffix: str, indent: int, brackets: bool = True) -> list[str]:
    """``prefix node suffix``, each line at most as wide as a line may be; ``brackets`` may be added around it."""
    shown = bare(node) if brackets and isinstance(node, ast.Tuple) and not prefix.endswith("return ") else text(node)
    if len(line := f"{' ' * indent}{prefix}{shown}{suffix}") <= WIDTH:
        return [line]
    if isinstance(node, ast.Lambda):
        head = text(node).removesuffix(text(node.body, 1))
        return laid_out(f"{prefix}{head}", node.body, suffix, indent, brackets=False)
    if (opened := own_brackets(node)) is not None:
        left, inner, right = opened
        return in_brackets(f"{prefix}{left}", inner, f"{right}{suffix}", indent)
    if isinstance(node, ast.BinOp) and hugs(node):
        sign, precedence = OPERATORS[type(node.op)]
        head = f"{prefix}{text(node.left, precedence)} {sign} "
        return laid_out(head, node.right, suffix, indent, brackets=False)
    if not brackets:
        return split_up(prefix, node, suffix, indent)
    inner = " " * (indent + 4) + text(node)
    body = [inner] if len(inner) <= WIDTH else split_up("", node, "", indent + 4)
    return [f"{' ' * indent}{prefix}(", *body, f"{' ' * indent}){suffix}"]


def hugs(node: ast.BinOp) -> bool:
    """Does the last of two operands bring brackets of its own?"""
    alone = not (isinstance(node.left, ast.BinOp) and OPERATORS[type(node.left.op)][1] == OPERATORS[type(node.op)][1])
    return alone and isinstance(node.right, ast.Dict | ast.List | ast.Call) and own_brackets(node.right) is not None


def own_brackets(node: ast.expr) -> tuple[str, ast.expr, str] | None:
    """What comes before its last brackets, whose these are, and what follows."""
    method = node.func if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
    if isinstance(node, ast.Call) and parts_of(node):
        return f"{text(node.func, ATOM)}(", node, ")"
    if (attribute := method or node) and isinstance(attribute, ast.Attribute):
        inner = own_brackets(attribute.value)
        call = "()" if method else ""
        return inner and (inner[0], inner[1], f"{inner[2]}.{attribute.attr}{call}")
    if isinstance(node, ast.Subscript):
        return f"{text(node.value, ATOM)}[", node, "]"
    if parts_of(node):
        left, right = BRACKETS.get(type(node), "{}")
        return left, node, right
    return None


def in_brackets(left: str, node: ast.expr, right: str, indent: int) -> list[str]:
    """What is within a call or a comprehension on a line of its own, if it fits; otherwise each part on one."""
    pad, inner = " " * indent, " " * (indent + 4)
    if isinstance(node, ast.Subscript):
        return [pad + left, *laid_out("", node.slice, "", indent + 4, brackets=False), pad + right]
    together = isinstance(node, ast.Call | COMPREHENSIONS)
    if together and len(line := inner + within(node)) <= WIDTH:
        return [pad + left, line, pad + right]
    found = [pad + left]
    for part in parts_of(node):
        line = f"{inner}{part}{sign_between(node)}"
        whole = len(line) <= WIDTH
        found += [line] if whole else laid_out(part.before, part.node, sign_between(node), indent + 4, brackets=False)
    return [*found, pad + right]


def split_up(prefix: str, node: ast.expr, suffix: str, indent: int) -> list[str]:
    """Broken before its operators."""
    pad = " " * indent
    if isinstance(node, ast.IfExp):
        return [
            f"{pad}{prefix}{text(node.body, 3)}",
            f"{pad}if {text(node.test, 3)}",
            f"{pad}else {text(node.orelse, 2)}{suffix}",
        ]
    parts = operands(node)
    if len(parts) == 1:
        return [f"{pad}{prefix}{text(node)}{suffix}"]
    found = [f"{pad}{prefix}{parts[0]}", *(f"{pad}{part}" for part in parts[1:])]
    found[-1] += suffix
    return found


def operands(node: ast.expr) -> list[str]:
    """The operands of what binds least, each with the sign before it."""
    if isinstance(node, ast.BoolOp):
        sign, precedence = OPERATORS[type(node.op)]
        first, *rest = (text(v, precedence + 1) for v in node.values)
        return [first, *(f"{sign} {part}" for part in rest)]
    if isinstance(node, ast.BinOp):
        sign, precedence = OPERATORS[type(node.op)]
        same = isinstance(node.left, ast.BinOp) and OPERATORS[type(node.left.op)][1] == precedence
        return [
            *(operands(node.left) if same else [text(node.left, precedence)]),
            f"{sign} {text(node.right, precedence + 1)}",
        ]
    if isinstance(node, ast.Compare):
        pairs = zip(node.ops, node.comparators, strict=True)
        return [text(node.left, 7), *(f"{OPERATORS[type(op)][0]} {text(right, 7)}" for op, right in pairs)]
    return [text(node)]
