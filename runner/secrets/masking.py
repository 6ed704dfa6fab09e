"""Hides known secret values in texts and JSON values.

Theory of operation
-------------------
Every spelling of a registered secret (`runner.secrets.forms`) is filed under its first four characters. A text is
walked once: at each position its next four characters are looked up, and only when something is filed under them are the
spellings compared, all of them. Overlapping finds become one ``***``, so that two secrets which share an end leave
nothing of either. The walk costs the same for one secret or ten thousand, and registering costs nothing but the filing;
one large regular expression would be built anew for every secret that an activity brings.

What is not masked
------------------
* Texts shorter than four characters, and numbers of fewer than four digits: masking each "no" or "80" would make texts
  useless and show nothing is hidden. `mask_value` still hides a text leaf that equals such a secret.
* Booleans and null.
* A secret that is split over two calls: hand in whole lines. Secrets of several lines are masked line by line as well.
* What a program made of a secret: a hash, an encryption, a part of it.

Source: docs/decisions/masking.md.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

from runner.secrets.forms import MINIMUM, Form, forms_of_number, forms_of_text

MASK = "***"
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")


class SecretMasker:
    """Masks what was registered; a `runner.activity.Masker`, safe for threads.

    Args:
        limit: How many secret leaves are remembered; beyond, the one registered longest ago is forgotten. Registering
            it again makes it the newest.
    """

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._leaves: OrderedDict[str | int | float, frozenset[Form]] = OrderedDict()
        self._uses: Counter[Form] = Counter()
        # Readers take no lock: an entry is replaced as a whole, never changed.
        self._filed: dict[str, tuple[Form, ...]] = {}

    def register(self, value: Any) -> None:
        """Remember a secret JSON value: every text and number leaf of it is masked from now on.

        The keys of objects are names, not secrets.
        """
        if isinstance(value, Mapping):
            for part in value.values():
                self.register(part)
        elif isinstance(value, list | tuple):
            for part in value:
                self.register(part)
        elif isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
            self._register_leaf(value)

    def mask(self, text: str) -> str:
        """The text with every known secret replaced by ``***``."""
        pieces: list[str] = []
        done = 0
        for start, end in self._finds(text):
            pieces += (text[done:start], MASK)
            done = end
        return "".join((*pieces, text[done:]))

    def mask_value(self, value: Any) -> Any:
        """A copy of a JSON value with every text in it masked, keys too; a leaf that equals a known one is ``***``."""
        if isinstance(value, Mapping):
            return {self.mask(key): self.mask_value(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.mask_value(part) for part in value]
        if isinstance(value, str):
            return MASK if value in self._leaves else self.mask(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value if self.mask(str(value)) == str(value) else MASK
        return value

    def _finds(self, text: str) -> list[tuple[int, int]]:
        """Where something is to be masked: in order, none touching another."""
        filed = self._filed
        finds: list[tuple[int, int]] = []
        for position in [at for at in range(len(text) - MINIMUM + 1) if text[at : at + MINIMUM] in filed]:
            found = _widest(filed.get(text[position : position + MINIMUM], ()), text, position)
            if found and finds and found[0] <= finds[-1][1]:
                finds[-1] = (min(found[0], finds[-1][0]), max(found[1], finds[-1][1]))
            elif found:
                finds.append(found)
        return finds

    def _register_leaf(self, leaf: str | float) -> None:
        with self._lock:
            if leaf in self._leaves:
                self._leaves.move_to_end(leaf)
                return
            forms = frozenset(forms_of_text(leaf) if isinstance(leaf, str) else forms_of_number(leaf))
            self._leaves[leaf] = forms
            self._file(forms)
            if len(self._leaves) > self._limit:
                self._unfile(self._leaves.popitem(last=False)[1])

    def _file(self, forms: frozenset[Form]) -> None:
        for form in forms:
            self._uses[form] += 1
            if self._uses[form] == 1:
                start = form.text[:MINIMUM]
                self._filed[start] = (*self._filed.get(start, ()), form)

    def _unfile(self, forms: frozenset[Form]) -> None:
        for form in forms:
            self._uses[form] -= 1
            if not self._uses[form]:
                del self._uses[form]
                start = form.text[:MINIMUM]
                left = tuple(other for other in self._filed[start] if other != form)
                if left:
                    self._filed[start] = left
                else:
                    del self._filed[start]


def _widest(forms: tuple[Form, ...], text: str, position: int) -> tuple[int, int] | None:
    """Where the widest of the forms that stand at the position begins and ends."""
    spans = [
        _span(form, text, position)
        for form in forms
        if text.startswith(form.text, position) and not (form.whole_word and _is_inside_word(form, text, position))
    ]
    return (min(start for start, _ in spans), max(end for _, end in spans)) if spans else None


def _span(form: Form, text: str, position: int) -> tuple[int, int]:
    start, end = position, position + len(form.text)
    if form.before and start and text[start - 1] in _BASE64:
        start -= 1
    if form.after and end < len(text) and text[end] in _BASE64:
        end += 1
    return start, end


def _is_inside_word(form: Form, text: str, position: int) -> bool:
    """Whether the find is a part of a longer word or number: ``5432`` in ``x5432``, ``15432``, ``1.5432``, ``5432.1``."""
    end = position + len(form.text)
    before, after = text[max(position - 2, 0) : position], text[end : end + 2]
    return _is_word(before[-1:]) or _is_word(after[:1]) or _is_fraction(before[::-1]) or _is_fraction(after)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _is_fraction(two: str) -> bool:
    return two[:1] == "." and two[1:].isdigit()
