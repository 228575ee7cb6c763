"""Letters that a terminal's encoding lacks, written with those that every one has: ``5 us``, ``+/-``, ``beta``.

Symbols and Greek letters are spelled; all others, as those of other languages, become escapes (``\\xf6``).
"""

import codecs
import unicodedata

HANDLER = "clipper.spelled"  # the name under which codecs know it
SYMBOLS = {
    "−": "-", "±": "+/-", "×": "x", "·": "*", "…": "...", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "≈": "~",
    "√": "sqrt ", "∞": "inf", "∈": " in ", "∇": "grad ", "∂": "d", "‖": "||", "′": "'", "½": "1/2", "∘": "o", "µ": "u",
    "Â": "A^", "⌈": "ceil(", "⌉": ")", "∫": "integral ", "–": "-", "—": "--", "‘": "'", "’": "'", "“": '"', "”": '"',
    "∝": "~", "ℓ": "l", "≠": "!=", "\u00a0": " ", "\u0302": "^", "\u0303": "~", "\u0304": "-",
}  # fmt: skip
"""What Clipper's own texts use; letters that stand above others follow them."""
GREEK = ("GREEK SMALL LETTER ", "GREEK CAPITAL LETTER ")
MARKS = {"<sub>": "_", "<super>": "^"}


def register() -> str:
    """Let codecs know how letters are spelled; the name of the handler."""
    codecs.register_error(HANDLER, handle)
    return HANDLER


def handle(error: UnicodeError) -> tuple[str, int]:
    """What takes the place of the letters that could not be encoded, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(spelled, error.object[error.start : error.end])), error.end


def spelled(letter: str) -> str:
    """A letter in ASCII."""
    if letter in SYMBOLS:
        return SYMBOLS[letter]
    name = unicodedata.name(letter, "")
    if name.startswith(GREEK) and name.count(" ") == 3:
        word = name.rpartition(" ")[2]
        return word.capitalize() if "CAPITAL" in name else word.lower().replace("lamda", "lambda")
    mark, _, code = unicodedata.decomposition(letter).partition(" ")
    if mark in MARKS:
        return MARKS[mark] + spelled(chr(int(code, 16)))
    return letter if letter.isascii() else letter.encode("ascii", "backslashreplace").decode()
