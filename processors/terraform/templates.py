"""Jinja2 as this processor uses it: sandboxed, and strict about names."""

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError, meta
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from processors.terraform.literals import to_hcl
from runner.activity import ActivityDetails
from runner.errors import Fatal


def environment() -> ImmutableSandboxedEnvironment:
    """The environment of every template; undefined names are errors, ``hcl`` and ``tojson`` quote."""
    made = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    made.filters["hcl"] = to_hcl
    made.filters["tojson"] = _to_json
    return made


def names(details: ActivityDetails, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What every template may use: the inputs, and who runs."""
    orchestration = {
        "id": details.oid,
        "correlationId": details.correlation_id,
        "type": details.orchestration_type,
        "generation": details.generation,
    }
    activity = {"id": details.id, "type": details.type, "discriminator": details.discriminator}
    return {
        "orchestration": orchestration,
        "activity": activity,
        "correlationId": details.correlation_id,
        **inputs,
    }


def used_names(source: str) -> frozenset[str]:
    """The top-level names a template uses; none when it does not parse."""
    try:
        return frozenset(meta.find_undeclared_variables(environment().parse(source)))
    except TemplateError:
        return frozenset()


def render(source: str, values: Mapping[str, Any], *, called: str) -> str:
    """The rendered text.

    Args:
        source: The template.
        values: The names it may use.
        called: The template's name in an error: a file, or ``config.workspace``.

    Raises:
        Fatal: It does not parse, uses an undefined name, or does what the sandbox forbids.
    """
    try:
        return environment().from_string(source).render(values)
    except TemplateSyntaxError as error:
        raise Fatal(
            f"rendering {called}:{error.lineno}: {error.message}", remedy="mend the template's syntax"
        ) from error
    except UndefinedError as error:
        raise Fatal(
            f"rendering {called}:{_line(error)}: {error.message}",
            remedy=f"give the activity an input of that name, or use a default filter; known here: {_known(values)}",
        ) from error
    except SecurityError as error:
        raise Fatal(
            f"rendering {called}:{_line(error)}: {error}", remedy="templates run in a sandbox: use plain expressions"
        ) from error
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise Fatal(
            f"rendering {called}:{_line(error)}: {type(error).__name__}: {error}", remedy="mend the template"
        ) from error


def _line(error: BaseException) -> int:
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _known(values: Mapping[str, Any]) -> str:
    return ", ".join(sorted(values))


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
