"""Move modules by name: files, splits, and everything in the repository that names them. Replayable, room by room."""
import ast, io, os, re, subprocess, sys, tokenize
from dataclasses import dataclass, field
from pathlib import Path

RUFF = str(Path(sys.executable).parent / "ruff")
NOTES: list[str] = []


def note(text):
    if text not in NOTES:
        NOTES.append(text); print("   !", text)


@dataclass
class Room:
    name: str
    message: str
    moves: dict = field(default_factory=dict)    # old module -> new module, below clipper; packages too
    splits: list = field(default_factory=list)   # (old module, [names], new module)
    docs: dict = field(default_factory=dict)     # new module or package -> docstring (for what is made anew)
    edits: list = field(default_factory=list)    # (path or glob, old text, new text[, how many]) after the move
    front: dict = field(default_factory=dict)    # names of the front: name -> (shown as, real module)
    after: list = field(default_factory=list)    # functions of the repository's root


def sh(*words, cwd=None, check=True):
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class Tree:
    """What the package defines at present."""

    def __init__(self, root):
        self.root, self.src = root, root / "src"
        self.files = {}
        for p in sorted((self.src / "clipper").rglob("*.py")):
            parts = list(p.relative_to(self.src).with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            self.files[".".join(parts)] = p
        self.cache = {}

    def is_package(self, m):
        return self.files[m].name == "__init__.py"

    def facts(self, m):
        if m not in self.cache:
            defined, imported = set(), {}
            for node in ast.parse(self.files[m].read_text()).body:
                inner = node.body if isinstance(node, ast.If) else [node]
                for n in inner:
                    if isinstance(n, ast.ImportFrom):
                        for a in n.names:
                            imported[a.asname or a.name] = (n.module, a.name)
                    defined |= set(bound(n))
            self.cache[m] = defined, imported
        return self.cache[m]


def bound(node):
    if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    parts = [p for t in targets for p in (t.elts if isinstance(t, ast.Tuple) else [t])]
    return [t.id for t in parts if isinstance(t, ast.Name)]


class Mapping:
    """One room's names, full of "clipper."."""

    # bare names that mean something at the front of clipper, in prose and in attribute chains
    FRONT = {"clipper.train", "clipper.load", "clipper.evaluate", "clipper.presets", "clipper.recipes"}

    def __init__(self, tree, room):
        self.tree = tree
        full = lambda m: "clipper." + m
        self.moves = {full(o): full(n) for o, n in room.moves.items() if full(o) in tree.files and not done(tree, room, o)}
        self.splits = {}
        for old, names, new in room.splits:
            if full(old) in tree.files and not done(tree, room, old):
                have = tree.facts(full(old))[0]
                for name in names:
                    if name in have:
                        self.splits[full(old), name] = full(new)
                    elif full(new) not in tree.files or name not in tree.facts(full(new))[0]:
                        note(f"{room.name}: {old} has no {name}: it stays where it is found")
        self.touched = set(self.moves) | {m for m, _ in self.splits}
        self.front = room.front

    def home(self, m):
        return self.moves.get(m, m)

    def member(self, m, name, depth=0):
        """(new module, name, is it a module) of ``from m import name``."""
        tree = self.tree
        if m == "clipper" and name in self.front:
            return self.front[name][1], name, False
        sub = f"{m}.{name}"
        if m in tree.files and tree.is_package(m) and sub in tree.files and name not in tree.facts(m)[0] and tree.facts(m)[1].get(name, (m, name)) == (m, name):
            new = self.home(sub)
            return new.rpartition(".")[0], new.rpartition(".")[2], True
        if m not in self.touched:
            if m in tree.files and not tree.is_package(m):
                # something that this module only imports from a touched one stays importable there
                pass
            return m, name, False
        if (m, name) in self.splits:
            return self.splits[m, name], name, False
        defined, imported = tree.facts(m)
        if name in defined or tree.is_package(m):
            return self.home(m), name, False
        if name in imported and depth < 5 and imported[name][0].startswith("clipper"):
            return self.member(*imported[name], depth + 1)
        if (m + "." + name) not in tree.files:
            return None
        return self.home(m), name, False

    def dotted(self, text, whole=False):
        """A dotted name in prose, in a string or in a settings file; None where it is to be left."""
        parts = text.split(".")
        if len(parts) >= 2 and parts[1] in self.front and parts[0] == "clipper":
            return ".".join([self.front[parts[1]][0], *parts[1:]])
        for k in range(len(parts), 1, -1):
            m, rest = ".".join(parts[:k]), parts[k:]
            if m not in self.touched:
                if m in self.tree.files:
                    return None
                continue
            if rest:
                found = self.member(m, rest[0])
                if found is None:
                    return None if self.home(m) == m or any(n.startswith(m + ".") for n in self.new()) else ".".join([self.home(m), *rest])
                new, name, _ = found
                if (m in self.FRONT) and (m, rest[0]) not in self.splits and rest[0] not in self.tree.facts(m)[0]:
                    return None
                if m in ("clipper.presets", "clipper.recipes"):
                    return None
                return ".".join([new, name, *rest[1:]])
            if not whole and (m in self.FRONT or any(n.startswith(m + ".") for n in self.new())):
                return None
            return self.home(m)
        return None

    def new(self):
        return set(self.moves.values()) | set(self.splits.values())


def done(tree, room, old):
    """Has this module moved already? Then its file is gone, or a package of the same name has taken its place."""
    f = tree.files.get("clipper." + old)
    if f is None:
        return True
    new = room.moves.get(old)
    if new is None:
        return False
    new_file = tree.files.get("clipper." + new)
    return new_file is not None and new_file != f


# ---------------------------------------------------------------- rewriting

DOTTED = re.compile(r"(?<![\w./-])clipper(?:\.[A-Za-z_]\w*)+")
IMPORT = re.compile(r"from (clipper[\w.]*) import ([\w{}]+(?: as \w+)?(?:, [\w{}]+(?: as \w+)?)*)")


def rewrite_text(text, mapping, whole=False):
    def imports(match):
        m, names = match[1], [n.strip() for n in match[2].split(",")]
        places = {}
        for item in names:
            name = item.split(" as ")[0]
            if "{" in name:
                new = (mapping.home(m), name, False)
            else:
                new = mapping.member(m, name) or (mapping.home(m), name, False)
            shown = new[1] + (f" as {item.split(' as ')[1]}" if " as " in item else f" as {name}" if new[1] != name else "")
            places.setdefault(new[0], []).append(shown)
        if list(places) == [m]:
            return match[0]
        before = text[:match.start()].rpartition("\n")[2]
        joint = "\n" + before if not before.strip() or before.strip() in (">>>", "...") else "; "
        return joint.join(f"from {m} import {', '.join(n)}" for m, n in places.items())

    kept = []

    def keep(match):
        kept.append(imports(match))
        return f"\0{len(kept) - 1}\0"

    if "clipper" not in text:
        return text
    out = IMPORT.sub(keep, text)

    def name(match):
        new = mapping.dotted(match[0], whole and match[0] == text)
        return match[0] if new is None else new

    out = DOTTED.sub(name, out)
    return re.sub("\0(\\d+)\0", lambda m: kept[int(m[1])], out)


def rewrite_python(path, mapping):
    source = path.read_text()
    if "clipper" not in source:
        return
    text = source
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    lines = text.splitlines(keepends=True)

    def at(line, col):  # col in utf-8 bytes
        return starts[line - 1] + len(lines[line - 1].encode()[:col].decode())

    edits = []
    tree = ast.parse(text)
    own = own_module(path, mapping)
    local_names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | {a.arg for n in ast.walk(tree) if isinstance(n, ast.arguments) for a in [*n.args, *n.kwonlyargs]}
    bindings = {}  # a module bound to a name -> old module
    plain = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            new_aliases, changed = [], False
            for a in node.names:
                if a.name in mapping.touched:
                    changed = True
                    if a.asname:
                        bindings[a.asname] = (a.name, a.asname)
                    new_aliases.append(mapping.home(a.name) + (f" as {a.asname}" if a.asname else ""))
                else:
                    new_aliases.append(a.name + (f" as {a.asname}" if a.asname else ""))
                plain |= a.asname is None and a.name.split(".")[0] == "clipper"
            if changed:
                edits.append((at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset), "import " + ", ".join(new_aliases)))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "clipper":
            places, changed = {}, False
            for a in node.names:
                found = mapping.member(node.module, a.name) or (mapping.home(node.module), a.name, False)
                new, name, is_module = found
                bound_as = a.asname or a.name
                if is_module and f"{node.module}.{a.name}" in mapping.touched:
                    old = f"{node.module}.{a.name}"
                    becomes = a.asname or (name if name not in local_names or name == a.name else a.name)
                    bindings[bound_as] = (old, becomes)
                    shown = name if becomes == name else f"{name} as {becomes}"
                else:
                    shown = name if bound_as == name else f"{name} as {bound_as}"
                if new == own and not is_module and own in mapping.touched:
                    note(f"{path}: would import {name} from itself")
                places.setdefault(new, []).append(shown)
                before = a.name if bound_as == a.name else f"{a.name} as {bound_as}"
                changed |= (new, shown) != (node.module, before)
            if changed:
                indent = " " * node.col_offset
                statement = ("\n" + indent).join(f"from {m} import {', '.join(n)}" for m, n in places.items())
                edits.append((at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset), statement))
    extra = set()
    covered = set()
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Attribute, ast.Name)) or id(node) in covered:
            continue
        chain, n = [], node
        while isinstance(n, ast.Attribute):
            chain.append(n.attr); n = n.value
        if not isinstance(n, ast.Name):
            continue
        names = [n.id, *chain[::-1]]
        inner = node
        while isinstance(inner, ast.Attribute):
            inner = inner.value; covered.add(id(inner))
        if names[0] == "clipper" and len(names) > 1:
            new = mapping.dotted(".".join(names))
            if new and new != ".".join(names):
                edits.append((at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset), new))
        elif names[0] in bindings:
            old, becomes = bindings[names[0]]
            first_end = at(n.end_lineno, n.end_col_offset)
            if len(names) > 1:
                found = mapping.member(old, names[1])
                if found and found[0] != mapping.home(old):
                    new = found[0]
                    short = new.rpartition(".")[2]
                    if short in local_names:
                        note(f"{path}: {'.'.join(names)} is {new}.{names[1]}, but {short} is taken there")
                    extra.add(new)
                    edits.append((at(n.lineno, n.col_offset), first_end, short))
                    continue
            if becomes != names[0]:
                edits.append((at(n.lineno, n.col_offset), first_end, becomes))
    # strings and comments
    for tok in tokenize.generate_tokens(io.StringIO(text).readline):
        if tok.type in (tokenize.STRING, tokenize.COMMENT) and "clipper" in tok.string:
            a = starts[tok.start[0] - 1] + tok.start[1]
            body = re.match(r"^\w*(\"\"\"|'''|\"|')(.*)\1$", tok.string, re.S)
            if body:
                content = rewrite_text(body[2], mapping, whole=True)
                content = rewrite_paths(content, mapping)
                new = tok.string[: body.start(2)] + content + body[1]
            else:
                new = rewrite_paths(rewrite_text(tok.string, mapping), mapping)
            if new != tok.string:
                edits.append((a, a + len(tok.string), new))
    for new in sorted(extra):
        parent, _, last = new.rpartition(".")
        first = next(n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom)))
        edits.append((at(first.lineno, 0), at(first.lineno, 0), f"from {parent} import {last}\n"))
    if edits:
        for a, b, new in sorted(edits, reverse=True):
            text = text[:a] + new + text[b:]
        path.write_text(text)


def own_module(path, mapping):
    return next((m for m, p in mapping.tree.files.items() if p == path), None)


FILE = re.compile(r"clipper/((?:[a-z_0-9]+/)*[a-z_0-9]+)\.py")
LINK = re.compile(r"\[([^\]\n]*)\]\(([^()\s]*clipper/(?:[a-z_0-9]+/)*[a-z_0-9]+(?:\.py)?)(/?)\)")


def new_path(path, mapping):
    """``optim`` → ``learning/learner``."""
    m = "clipper." + path.replace("/", ".").removesuffix(".__init__")
    if m in mapping.moves:
        return mapping.moves[m].removeprefix("clipper.").replace(".", "/") + ("/__init__" if path.endswith("__init__") else "")
    return path


def rewrite_paths(text, mapping, label=False):
    if "clipper/" not in text:
        return text

    def link(match):
        shown, target, slash = match.groups()
        head, _, tail = target.rpartition("clipper/") if not target.endswith("clipper") else (target, "", "")
        suffix = ".py" if tail.endswith(".py") else ""
        old = tail.removesuffix(".py")
        new = new_path(old, mapping)
        if suffix == "" and mapping.tree.files.get("clipper." + old.replace("/", ".")) is not None and not mapping.tree.is_package("clipper." + old.replace("/", ".")):
            new = old
        if new == old:
            return match[0]
        base_old, base_new = old.rpartition("/")[2], new.rpartition("/")[2]
        for a, b in ((base_old + suffix, base_new + suffix), (tail, new + suffix), (base_old + "/", base_new + "/")):
            if shown.strip("`") == a:
                shown = shown.replace(a, b)
                break
        return f"[{shown}]({head}clipper/{new}{suffix}{slash})"

    text = LINK.sub(link, text)
    # literalincludes of a definition that went elsewhere
    def include(match):
        m = "clipper." + match[2].replace("/", ".")
        first = match[4].split(".")[0]
        new = mapping.splits.get((m, first))
        path = new.removeprefix("clipper.").replace(".", "/") if new else new_path(match[2], mapping)
        return f"{match[1]}clipper/{path}.py{match[3]}{match[4]}"

    text = re.sub(r"(literalinclude\} [./a-z]*)clipper/([a-z_/0-9]+)\.py(\n:pyobject: )([\w.]+)", include, text)
    return FILE.sub(lambda m: f"clipper/{new_path(m[1], mapping)}.py", text)


def rewrite_where(text, mapping):
    def row(match):
        def one(name):
            found = mapping.dotted("clipper." + name[1])
            return f'"{found.removeprefix("clipper.")}"' if found else name[0]
        return re.sub(r'"([^"]+)"', one, match[0])
    return re.sub(r"^code = \[[^\]]*\]", row, text, flags=re.M)


TEXTS = (".md", ".toml", ".html", ".sh", ".yml", ".yaml", ".cfg", ".txt", ".css", "Makefile")


def repository_files(root):
    listed = sh("git", "ls-files", "-co", "--exclude-standard", cwd=root).splitlines()
    for name in listed:
        p = root / name
        if not p.is_file() or p.is_symlink() or name.startswith(("benchmarks/results", "benchmarks/peers/third", "tests/compat/archives")):
            continue
        if name == "CHANGELOG.md":
            continue
        if p.suffix == ".py" or name.endswith(TEXTS):
            yield p


def rewrite_all(root, mapping):
    for p in repository_files(root):
        if p.suffix == ".py":
            try:
                rewrite_python(p, mapping)
            except SyntaxError as error:
                note(f"{p}: not parsed: {error}")
            continue
        old = p.read_text()
        text = rewrite_text(old, mapping) if p.name != "architecture.md" or True else old
        text = rewrite_paths(text, mapping)
        if p.name == "pyproject.toml":
            text = re.sub(r'^(  "clipper\.[\w.]+",?)', lambda m: m[1], text, flags=re.M)
        if p.name == "where.toml":
            text = rewrite_where(text, mapping)
        if text != old:
            p.write_text(text)


# ---------------------------------------------------------------- splitting

def segments(source):
    """[(names, start line, end line, node)] of top-level definitions with their comments above and string below."""
    lines = source.splitlines()
    body = ast.parse(source).body
    found = []
    for i, node in enumerate(body):
        names = bound(node)
        if not names:
            continue
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        while first >= 2 and lines[first - 2].startswith("#"):
            first -= 1
        last = node.end_lineno
        if i + 1 < len(body) and isinstance(body[i + 1], ast.Expr) and isinstance(body[i + 1].value, ast.Constant) and not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            last = body[i + 1].end_lineno
        found.append((names, first, last, node))
    return found


def import_lines(source, which=False):
    lines = source.splitlines()
    out, guarded = [], []
    for node in ast.parse(source).body:
        chunk = lines[node.lineno - 1 : node.end_lineno]
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            out += chunk
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            guarded += ["", *chunk]
    return guarded if which else out


def split(root, mapping, room, tree):
    pieces = {}
    for (old, name), new in mapping.splits.items():
        pieces.setdefault(old, {}).setdefault(new, []).append(name)
    for old, parts in pieces.items():
        path = tree.files[old]
        source = path.read_text()
        lines = source.splitlines()
        where = {}
        found = segments(source)
        for names, *_ in found:
            for n in names:
                where[n] = next((new for new, ns in parts.items() if n in ns), mapping.home(old))
        imports, guarded = import_lines(source), import_lines(source, True)

        def crossing(text, here):
            words = set(re.findall(r"[A-Za-z_]\w*", text))
            lines = {}
            for n, home in where.items():
                if home != here and n in words:
                    lines.setdefault(home, []).append(n)
            return [f"from {m} import {', '.join(sorted(ns))}" for m, ns in lines.items()]

        taken = set()
        for new, names in parts.items():
            mine = [(first, last) for ns, first, last, _ in found if set(ns) & set(names)]
            body, end = "", None
            for first, last in mine:
                near = end is not None and not any(line.strip() for line in lines[end : first - 1])
                body += ("" if end is None else "\n" * (first - end) if near else "\n\n\n") + "\n".join(lines[first - 1 : last])
                taken |= set(range(first, last + 1))
                end = last
            key = new.removeprefix("clipper.")
            target = root / "src" / (new.replace(".", "/") + ".py")
            target.parent.mkdir(parents=True, exist_ok=True)
            joins = [tree.files[o] for o, n in mapping.moves.items() if n == new]
            if joins:
                target = joins[0]
            if target.exists():  # one more piece of a file that another split has begun
                before = target.read_text()
                head = import_lines(before)
                text = before + "\n\n" + body + "\n"
                doc_end = ast.parse(before).body[0].end_lineno
                ls = text.splitlines()
                text = "\n".join([*ls[:doc_end], "", *imports, *crossing(body, new), *guarded, *ls[doc_end:]]) + "\n"
                own = [x for x in ast.parse(text).body if isinstance(x, ast.ImportFrom) and x.module == new]
                gone = {i for x in own for i in range(x.lineno, x.end_lineno + 1)}
                text = "\n".join(l for i, l in enumerate(text.splitlines(), 1) if i not in gone) + "\n"
            else:
                doc = room.docs.get(key) or note(f"{room.name}: no docstring for {key}") or "TODO."
                text = f'"""{doc}"""\n\n' + "\n".join([*imports, *crossing(body, new), *guarded]) + "\n\n\n" + body + "\n"
            target.write_text(text)
            if not joins:
                sh("git", "add", "-N", str(target), cwd=root)
        rest = [line for i, line in enumerate(lines, start=1) if i not in taken]
        text = "\n".join(rest) + "\n"
        first_import = next(n for n in ast.parse(text).body if isinstance(n, (ast.Import, ast.ImportFrom)))
        ls = text.splitlines()
        body_text = "\n".join(lines[i - 1] for ns, a, b, _ in found for i in range(a, b + 1) if i not in taken)
        ls[first_import.lineno - 1 : first_import.lineno - 1] = crossing(body_text, mapping.home(old))
        doc = room.docs.get(mapping.home(old).removeprefix("clipper."))
        text = "\n".join(ls) + "\n"
        path.write_text(re.sub(r"\n{4,}", "\n\n\n", text))


def set_doc(path, doc):
    text = path.read_text()
    node = ast.parse(text).body[0]
    ls = text.splitlines()
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        ls[: node.end_lineno] = f'"""{doc}"""'.splitlines()
        path.write_text("\n".join(ls) + "\n")


# ---------------------------------------------------------------- moving

def file_of(root, m):
    base = root / "src" / m.replace(".", "/")
    return base / "__init__.py" if (base / "__init__.py").exists() and not base.with_suffix(".py").exists() else base.with_suffix(".py")


def move(root, room, mapping, tree):
    for old, new in mapping.moves.items():
        source = tree.files[old]
        target = root / "src" / new.replace(".", "/")
        target = target / "__init__.py" if source.name == "__init__.py" else target.with_suffix(".py")
        # clipper/data.py gives way before the folder clipper/data is made
        target.parent.mkdir(parents=True, exist_ok=True)
        sh("git", "mv", str(source), str(target), cwd=root)
        data = source.parent
        if source.name == "__init__.py":
            for other in sorted(data.glob("*")):
                if other.suffix not in (".py",) and other.is_file() and not other.name.startswith("."):
                    sh("git", "mv", str(other), str(target.parent / other.name), cwd=root)
    for key, doc in room.docs.items():
        folder = root / "src/clipper" / key.replace(".", "/")
        if folder.is_dir() and not (folder / "__init__.py").exists():
            (folder / "__init__.py").write_text(f'"""{doc}"""\n')
    for folder in {f.parent for f in tree.files.values()}:  # what git leaves of emptied folders
        if folder.exists() and not list(folder.glob("*.py")) and not any(x.is_dir() and x.name != "__pycache__" for x in folder.iterdir()):
            subprocess.run(["rm", "-rf", str(folder)])
    for key, doc in room.docs.items():
        f = root / "src/clipper" / (key.replace(".", "/") + ".py")
        if f.exists() and ("clipper." + key) in mapping.moves.values():
            set_doc(f, doc)


def broken_lines(text):
    lines = text.split("\n")
    i = 0
    while i < len(lines):
        line, indent = lines[i], lines[i][: len(lines[i]) - len(lines[i].lstrip())]
        cut = line.rfind(", ", len(indent), 120)
        if len(line) > 120 and cut > 0 and not line.lstrip().startswith("#") and "# pyright" not in line and "noqa" not in line:
            lines[i : i + 1] = [line[: cut + 1], indent + line[cut + 2 :]]
        i += 1
    return "\n".join(lines)


def wrap(text):
    """Prose lines beyond 120 columns, in docstrings and comments, flow into the next line."""
    lines, i = text.split("\n"), 0
    while i < len(lines):
        line = lines[i]
        if len(line) <= 120 or i > 5000:
            i += 1
            continue
        stripped = line.lstrip()
        indent = line[: len(line) - len(stripped)]
        mark = "# " if stripped.startswith("# ") else ""
        quote = '"""'
        one = stripped.startswith(quote) and stripped.endswith(quote) and len(stripped) > 6
        inside = sum(l.count(quote) for l in lines[:i]) % 2 == 1
        if not (mark or inside or stripped.startswith(quote)):
            i += 1
            continue
        cut = line.rfind(" ", 0, 121)
        head, tail = line[:cut], line[cut + 1 :]
        if one or (inside and tail.endswith(quote)):
            before = next((l for l in reversed(lines[:i]) if l.strip()), "")
            own = one and (before.rstrip().endswith(":") or i == 0)
            lines[i : i + 1] = [head, indent + tail.removesuffix(quote), indent + quote] if own else [head, indent + tail]
        else:
            following = lines[i + 1] if i + 1 < len(lines) else ""
            prose = following.strip() and not following.strip().startswith(quote) and following.startswith(indent + mark) and not following[len(indent + mark) :].startswith((" ", "-", "*", ">>>"))
            if prose:
                lines[i : i + 2] = [head, indent + mark + tail + " " + following[len(indent + mark) :]]
            else:
                lines[i : i + 1] = [head, indent + mark + tail]
        i += 1
    return "\n".join(lines)


def tidy(root):
    changed = [n for n in sh("git", "status", "--porcelain", "-uall", cwd=root).splitlines()]
    names = sorted({n[3:].split(" -> ")[-1] for n in changed if n[3:].split(" -> ")[-1].endswith(".py")})
    names = [n for n in names if (root / n).exists()]
    pages = sorted({n[3:].split(" -> ")[-1] for n in changed if n[3:].split(" -> ")[-1].endswith(".md")})
    if pages:
        sh(RUFF, "format", "--quiet", *pages, cwd=root, check=False)
    if not names:
        return
    sh(RUFF, "check", "--quiet", "--select", "F401,I", "--ignore", "F811", "--fix", *names, cwd=root, check=False)
    for n in names:
        p = root / n
        text = p.read_text()
        new = wrap(re.sub(r"\nif TYPE_CHECKING:\n    pass\n", "\n", text))
        if new != text:
            p.write_text(new)
    sh(RUFF, "check", "--quiet", "--select", "F401,I", "--fix", *names, cwd=root, check=False)
    sh(RUFF, "format", "--quiet", *names, cwd=root)
    for n in names:  # lines that the formatter is told to leave, too long by longer names
        text = (root / n).read_text()
        broken = broken_lines(text)
        if broken != text and ast.dump(ast.parse(broken)) == ast.dump(ast.parse(text)):
            (root / n).write_text(broken)


def apply(root, room):
    root = Path(root)
    tree = Tree(root)
    mapping = Mapping(tree, room)
    todo = bool(mapping.touched) or (room.front and not front_done(root, room))
    if todo:
        rewrite_all(root, mapping)
        split(root, mapping, room, tree)
        move(root, room, mapping, tree)
    for path, old, new, *count in room.edits:
        edit(root, room, path, old, new, *count)
    for function in room.after:
        function(root)
    tidy(root)
    return todo


def front_done(root, room):
    return "DeprecationWarning" in (root / "src/clipper/__init__.py").read_text() or (root / "src/clipper/former.py").exists()


def edit(root, room, path, old, new, optional=False):
    p = Path(root) / path
    if not p.exists():
        optional or note(f"{room.name}: NEEDS HANDS: no file {path}")
        return
    text = p.read_text()
    if old in new and new in text:
        return  # it was inserted before
    if old in text:
        p.write_text(text.replace(old, new))
    elif new not in text and not optional:
        note(f"{room.name}: NEEDS HANDS in {path}: not found:\n{old}")
