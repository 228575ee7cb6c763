"""Search in Chinese pages: by pairs of neighbouring characters, the same in the index and in what a reader types.

Sphinx's own cuts the pages into words of a dictionary but not the query, so that only single words are found, and its
script names a stemmer that is not there (Sphinx 9.0).
"""

import re

from sphinx.search.en import SearchEnglish

HAN = "\u3400-\u4dbf\u4e00-\u9fff"
WORD = re.compile(rf"[{HAN}]+|[^\W{HAN}]+")


class SearchChinese(SearchEnglish):
    """Pairs of Chinese characters, and English words by their stems."""

    lang = "zh"
    js_splitter_code = f"""
var splitQuery = (query) => (query.match(/[{HAN}]+|(?:(?![{HAN}])[\\p{{L}}\\p{{N}}_])+/gu) || []).flatMap((word) =>
  /[{HAN}]/.test(word) && word.length > 1
    ? Array.from({{ length: word.length - 1 }}, (_, i) => word.slice(i, i + 2))
    : [word]);
"""

    def split(self, input: str) -> list[str]:  # noqa: A002 (Sphinx's name)
        """Words of the index: of a run of Chinese characters each one, and each with its neighbour."""
        found = []
        for word in WORD.findall(input):
            pairs = [word[i : i + 2] for i in range(len(word) - 1)]
            found += [*word, *pairs] if re.match(f"[{HAN}]", word) else [word]
        return found
