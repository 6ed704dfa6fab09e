"""Which attributes a body of HCL sets.

Terraform's parser, as the library offers it, says where each variable is declared but not whether it has a default. This
scanner answers that one question from the very place the parser named. It knows strings with templates in them, heredocs
and comments, and gives up on nothing: what it cannot read Terraform itself has refused before.
"""

from collections.abc import Iterator

_OPEN = "([{"
_CLOSE = ")]}"


def attributes(text: str, start: int = 0) -> frozenset[str]:
    """Names that the body beginning at ``start`` assigns, up to its closing brace or the end of the text."""
    found, fresh, depth, name = set(), True, 0, ""
    for token in _tokens(text, start):
        if token == "\n":  # noqa: S105 - a token of a language
            fresh, name = depth == 0, ""
        elif token in _OPEN:
            depth, name = depth + 1, ""
        elif token in _CLOSE:
            depth -= 1
            if depth < 0:
                break
        elif depth == 0 and token == "=" and name:  # noqa: S105
            found.add(name)
            fresh, name = False, ""
        else:
            name = token if fresh and depth == 0 and (token[0].isalpha() or token[0] == "_") else ""
            fresh = False
    return frozenset(found)


def body_start(text: str, header_end: int) -> int:
    """Where the body of the block whose header ends at ``header_end`` begins."""
    return text.index("{", header_end) + 1


def _tokens(text: str, at: int) -> Iterator[str]:
    while at < len(text):
        character = text[at]
        if character == "#" or text.startswith("//", at):
            at = _line_end(text, at)
        elif text.startswith("/*", at):
            at = _after(text, "*/", at)
        elif character == '"':
            at = _string_end(text, at + 1)
            yield '"'
        elif text.startswith("<<", at) and (end := _heredoc_end(text, at)) > at:
            at = end
            yield '"'
        elif character.isalpha() or character == "_":
            end = at
            while end < len(text) and (text[end].isalnum() or text[end] in "_-"):
                end += 1
            yield text[at:end]
            at = end
        elif text.startswith(("==", "=>", "!=", "<=", ">="), at):
            yield text[at : at + 2]
            at += 2
        else:
            at += 1
            if character == "\n" or not character.isspace():
                yield character


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _after(text: str, what: str, at: int) -> int:
    end = text.find(what, at)
    return len(text) if end < 0 else end + len(what)


def _string_end(text: str, at: int) -> int:
    while at < len(text):
        if text[at] == "\\" or text.startswith(("$${", "%%{"), at):
            at += 2 if text[at] == "\\" else 3
        elif text.startswith(("${", "%{"), at):
            at = _template_end(text, at + 2)
        elif text[at] == '"':
            return at + 1
        else:
            at += 1
    return at


def _template_end(text: str, at: int) -> int:
    depth = 1
    while at < len(text) and depth:
        if text[at] == '"':
            at = _string_end(text, at + 1)
            continue
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return at


def _heredoc_end(text: str, at: int) -> int:
    line_end = _line_end(text, at)
    marker = text[at + 2 : line_end].removeprefix("-").strip()
    if not marker.replace("_", "a").replace("-", "a").isalnum():
        return at
    while line_end < len(text):
        begin, line_end = line_end + 1, _line_end(text, line_end + 1)
        if text[begin:line_end].strip() == marker:
            return line_end
    return len(text)
