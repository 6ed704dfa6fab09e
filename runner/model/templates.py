"""Templates: one document from which several orchestration definitions are made.

The form of the reference system: ``activities`` is an object with the activities of one definition under each key. The
key is that definition's type, and the discriminator of each of its activities::

    {"id": "vpa", "activities": {"vpa.deploy": [{"id": "cell", "type": "cell"}],
                                 "vpa.dispose": [{"id": "cell", "type": "cell"}]}}

Definitions of one template whose types are the same but for ``deploy`` and ``dispose`` at the end compensate each other
unless they say otherwise.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from runner.errors import InvalidDefinition, Problem
from runner.model.canonical import canonical_bytes, digest
from runner.model.definition import OrchestrationDefinition
from runner.model.origin import Origin
from runner.model.wire import faults

_OPPOSITES = {"deploy": "dispose", "dispose": "deploy"}


def is_template(document: Any) -> bool:
    """Whether an orchestration definition has the template form."""
    return isinstance(document, Mapping) and isinstance(document.get("activities"), Mapping)


def expand_template(document: Mapping[str, Any], *, default_id: str = "") -> list[OrchestrationDefinition]:
    """The definitions of a template, in its order.

    Args:
        document: As above.
        default_id: The template's id when it has none; without it, one made from the content, so that the same content
            is the same template.

    Raises:
        runner.errors.InvalidDefinition: They break rules; paths are those of the template.
    """
    made, problems = [], list[Problem]()
    for key, member in members(document, default_id=default_id):
        try:
            made.append(OrchestrationDefinition.model_validate(member, by_alias=True, by_name=False))
        except ValidationError as error:
            problems += [Origin(group=key).problem(path, text) for path, text in faults(error)]
    if problems:
        raise InvalidDefinition("reading the template of orchestration definitions: it breaks rules", problems)
    return made


def members(document: Mapping[str, Any], *, default_id: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Each key of a template with its definition as a document of its own."""
    template_ref = document.get("id") or default_id or f"template-{digest(canonical_bytes(document))[7:23]}"
    shared = {name: value for name, value in document.items() if name not in {"id", "type", "activities"}}
    return [
        (key, {**shared, "type": key, "templateRef": template_ref, "activities": _discriminated(key, activities)})
        for key, activities in document["activities"].items()
    ]


def default_compensation(definition: OrchestrationDefinition, others: Mapping[str, OrchestrationDefinition]) -> str:
    """The type that undoes ``definition`` when it does not say so itself; empty for none."""
    for ending, opposite in _OPPOSITES.items():
        partner = others.get(definition.type.removesuffix(ending) + opposite)
        if definition.type.endswith(ending) and partner and definition.template_ref:
            return partner.type if partner.template_ref == definition.template_ref else ""
    return ""


def _discriminated(key: str, activities: Any) -> Any:
    if not isinstance(activities, list):
        return activities
    return [{**activity, "discriminator": key} if isinstance(activity, dict) else activity for activity in activities]
