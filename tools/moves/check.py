import ast, sys
from collections import defaultdict
from pathlib import Path
def graph(root):
    src=Path(root)/"src"; mods={}
    for p in (src/"clipper").rglob("*.py"):
        parts=list(p.relative_to(src).with_suffix("").parts)
        if parts[-1]=="__init__": parts.pop()
        mods[".".join(parts)]=p
    e=defaultdict(set); typ=defaultdict(set)
    for m,p in mods.items():
        t=ast.parse(p.read_text())
        guarded={id(x) for n in ast.walk(t) if isinstance(n,ast.If) and ast.unparse(n.test).endswith("TYPE_CHECKING") for x in ast.walk(n)}
        for n in ast.walk(t):
            tg=[]
            if isinstance(n,ast.ImportFrom) and n.module and n.module.split(".")[0]=="clipper":
                for a in n.names:
                    f=n.module+"."+a.name
                    tg.append(f if f in mods else n.module)
            elif isinstance(n,ast.Import):
                tg=[a.name for a in n.names if a.name.split(".")[0]=="clipper"]
            for x in tg:
                if x!=m:
                    e[m].add(x)
                    if id(n) not in guarded: typ[m].add(x)
    return mods,e,typ
def sccs(nodes,e):
    idx={};low={};st=[];on=set();out=[];c=[0]
    sys.setrecursionlimit(10000)
    def f(v):
        idx[v]=low[v]=c[0];c[0]+=1;st.append(v);on.add(v)
        for w in e.get(v,()):
            if w not in idx: f(w);low[v]=min(low[v],low[w])
            elif w in on: low[v]=min(low[v],idx[w])
        if low[v]==idx[v]:
            s=[]
            while True:
                w=st.pop();on.discard(w);s.append(w)
                if w==v: break
            out.append(s)
    for v in nodes:
        if v not in idx: f(v)
    return [x for x in out if "Nonsense" not in x]
def layers(root):
    """Top-level rooms by floor, bottom first, from imports at run time; circles of rooms."""
    mods,e,t=graph(root)
    top=lambda m: m.split(".")[1] if "." in m else "clipper"
    r=defaultdict(set)
    for m in mods:
        r[top(m)]
        for x in t[m]:
            if top(x)!=top(m): r[top(m)].add(top(x))
    r.pop("clipper",None)
    for k in r: r[k].discard("clipper")
    circ=[s for s in sccs(list(r),r) if len(s)>1]
    floor={}
    def fl(v,seen=()):
        if v in floor: return floor[v]
        if v in seen: return 0
        floor[v]=1+max([fl(w,(*seen,v)) for w in r[v]],default=-1)
        return floor[v]
    for v in r: fl(v)
    by=defaultdict(list)
    for v,f in floor.items(): by[f].append(v)
    return [sorted(by[f]) for f in sorted(by)],circ
if __name__=="__main__":
    mods,e,t=graph(sys.argv[1])
    print([s for s in sccs(list(mods),e) if len(s)>1])
    l,c=layers(sys.argv[1])
    for x in l[::-1]: print(" | ".join(x))
    print("room circles",c)


def unresolved(root):
    """Names imported from clipper, anywhere in the repository, that nothing defines."""
    import subprocess
    root = Path(root)
    mods, *_ = graph(root)
    def top(body):
        for n in body:
            if isinstance(n, (ast.If, ast.Try)):
                yield from top(n.body); yield from top(n.orelse)
                for h in getattr(n, "handlers", []): yield from top(h.body)
            else:
                yield n
    names = {}
    for m, p in mods.items():
        s = set()
        for n in top(ast.parse(p.read_text()).body):
            if isinstance(n, (ast.FunctionDef, ast.ClassDef)): s.add(n.name)
            elif isinstance(n, (ast.Import, ast.ImportFrom)): s |= {(a.asname or a.name).split(".")[0] for a in n.names}
            else: s |= {x.id for x in ast.walk(n) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}
        names[m] = s
    out = []
    for name in subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.py"], cwd=root, capture_output=True, text=True).stdout.splitlines():
        p = root / name
        if not p.is_file(): continue
        try: t = ast.parse(p.read_text())
        except SyntaxError: continue
        for n in ast.walk(t):
            if isinstance(n, ast.ImportFrom) and n.module and n.module.split(".")[0] == "clipper":
                for a in n.names:
                    if n.module not in mods or (a.name not in names[n.module] and f"{n.module}.{a.name}" not in mods):
                        out.append(f"{name}:{n.lineno}: from {n.module} import {a.name}")
            elif isinstance(n, ast.Import):
                out += [f"{name}:{n.lineno}: import {a.name}" for a in n.names if a.name.split(".")[0] == "clipper" and a.name not in mods]
    return [x for x in out if "Nonsense" not in x]
