"""What a reader types into the search of the Chinese pages is cut into the words that their index has."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SENTENCE = "策略梯度（policy_gradient）是无偏的，熵 H(π) 则不然：σ² ≥ 0, GAE-λ"
QUERIES = {
    "策略梯度": ["策略", "略梯", "梯度"],
    "熵": ["熵"],
    "gradients": ["gradients"],
    "GAE 无偏": ["GAE", "无偏"],
    "σ²": ["σ²"],
    "无偏policy_gradient": ["无偏", "policy_gradient"],
}


@pytest.fixture(scope="module")
def search() -> ModuleType:
    pytest.importorskip("sphinx")
    spec = importlib.util.spec_from_file_location("chinese_search", DOCS / "chinese_search.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_index_has_each_character_and_each_pair(search: ModuleType) -> None:
    words = search.SearchChinese({}).split(SENTENCE)
    assert {"策", "策略", "略梯", "梯度", "熵", "policy_gradient", "σ²", "GAE", "λ"} <= set(words)
    assert "度p" not in words
    for typed in QUERIES.values():
        assert set(typed) <= {*words, "gradients"}


@pytest.mark.skipif(shutil.which("node") is None, reason="runs the pages' script, which needs node")
def test_the_script_cuts_and_stems_alike(search: ModuleType) -> None:
    """The stemmer exists under the name that the pages' script asks for."""
    index_builder = importlib.import_module("sphinx.search").IndexBuilder  # which only make docs installs
    language = search.SearchChinese({})
    builder = index_builder.__new__(index_builder)
    builder.lang, builder.js_scorer_code, builder.js_splitter_code = language, "", ""
    context = builder.context_for_searchtool()
    program = (
        f"global.window = global; {context['search_language_stemming_code']}\n{context['search_word_splitter_code']}\n"
        f"const cut = (query) => splitQuery(query); const stemmer = new window.Stemmer();"
        f"console.log(JSON.stringify([{json.dumps(list(QUERIES))}.map(cut), "
        '["gradients", "clipping", "策略"].map((word) => stemmer.stemWord(word))]))'
    )
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True, timeout=60)
    cut, stems = json.loads(done.stdout)
    assert cut == list(QUERIES.values())
    assert stems == [language.stem(word) for word in ("gradients", "clipping", "策略")] == ["gradient", "clip", "策略"]
