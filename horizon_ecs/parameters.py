"""Parameters of systems: what each annotation asks for, checked."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Union, get_args, get_origin

from horizon_ecs.access import ENTITY, RESOURCE, WRITE, Access
from horizon_ecs.commands import Commands
from horizon_ecs.components import Component, fields_of, is_component, is_object, role_of
from horizon_ecs.errors import DefinitionError
from horizon_ecs.events import Emit, Events
from horizon_ecs.lookup import Lookup
from horizon_ecs.random import Random

ANNOTATIONS = (
    "Read[...], Write[...], either of them | None, Res[...], Lookup[...], Emit[...], Events[...], Entity, Commands, "
    "Random or World"
)


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of a system: its name, its type, and how it is used.

    `use` is "read", "write", "resource", "lookup", "emit", "events", "entity", "commands", "random" or "world";
    `optional` tells that entities without the component are worked on too.
    """

    name: str
    use: str
    type: Any
    optional: bool = False


def read_parameters(function: Callable[..., Any], localns: dict[str, Any], where: str) -> tuple[Parameter, ...]:
    """The parameters of a system. Raises DefinitionError, with `where` before the message."""
    try:
        hints = typing.get_type_hints(function, localns=localns, include_extras=True)
    except NameError as error:
        raise DefinitionError(f"{where}: an annotation can't be resolved: {error}") from None
    except TypeError as error:
        raise DefinitionError(f"{where}: {_wrong_annotation(function, localns, str(error))}") from None
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise DefinitionError(f"{where}: parameter {name!r}: a system takes plain positional parameters only")
        if name not in hints:
            raise DefinitionError(f"{where}: parameter {name!r} has no annotation; use {ANNOTATIONS}")
        found.append(_classify(where, name, hints[name]))
    return tuple(found)


def _wrong_annotation(function: Callable[..., Any], localns: dict[str, Any], said: str) -> str:
    """Which annotation, still a text, can't be evaluated."""
    for name, written in function.__annotations__.items():
        try:
            eval(written, function.__globals__, localns) if isinstance(written, str) else None
        except TypeError:
            one = f"{written.partition(',')[0].rstrip(']')}]"
            return f"parameter {name!r} can't be {written}: {said}; one parameter is one component, such as {one}"
    return f"an annotation can't be resolved: {said}"


def _classify(where: str, name: str, annotation: Any) -> Parameter:
    """What an annotation asks for."""
    # Imported here: world.py builds on this module.
    from horizon_ecs.world import World

    simple = {Commands: "commands", World: "world", Random: "random"}
    if isinstance(annotation, type) and annotation in simple:
        return Parameter(name, simple[annotation], annotation)
    generic = {Lookup: "lookup", Emit: "emit", Events: "events"}
    origin: Any = get_origin(annotation)
    if origin in generic:
        return _generic(where, name, generic[origin], get_args(annotation)[0])
    if annotation in generic:
        what = "component" if annotation is Lookup else "event"
        raise DefinitionError(f"{where}: parameter {name!r}: write {annotation.__name__}[...] with the {what}")
    inner, optional = _without_none(annotation)
    marks = [a for a in get_args(inner)[1:] if isinstance(a, Access)] if get_origin(inner) is Annotated else []
    if not marks or (optional and marks[0] in (ENTITY, RESOURCE)):
        raise DefinitionError(f"{where}: parameter {name!r} must be annotated {ANNOTATIONS}, not {annotation!r}")
    if marks[0] is ENTITY:
        return Parameter(name, "entity", int)
    target = get_args(inner)[0]
    if marks[0] is RESOURCE:
        if is_component(target):
            raise DefinitionError(
                f"{where}: {target.__name__} is a component; write Read[{target.__name__}] or Write[{target.__name__}]"
            )
        return Parameter(name, "resource", target)
    _check_component(where, f"{marks[0]}[...]", target)
    if not fields_of(target) and not optional:
        raise DefinitionError(
            f"{where}: {target.__name__} is {_kind_of(target)}; write with_=[{target.__name__}] instead of a parameter"
        )
    if marks[0] is WRITE and fields_of(target) and all(f.fixed for f in fields_of(target)):
        raise DefinitionError(
            f"{where}: {target.__name__} has only a target, which no system writes; Read it, and ask for another one "
            f"by cmd.add(entity, {target.__name__}(target)), or by world.relate"
        )
    return Parameter(name, "write" if marks[0] is WRITE else "read", target, optional)


def _kind_of(target: Component) -> str:
    return "a component of Python objects, which live in no columns" if is_object(target) else "a tag without data"


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """`X` and True for `X | None`."""
    if get_origin(annotation) in (Union, types.UnionType):
        left = [a for a in get_args(annotation) if a is not type(None)]
        if len(left) == 1:
            return left[0], True
    return annotation, False


def _check_component(where: str, written: str, target: Any) -> None:
    if role_of(target) == "resource":
        raise DefinitionError(f"{where}: {target.__name__} is a resource; write Res[{target.__name__}]")
    if not is_component(target):
        raise DefinitionError(f"{where}: {written} takes a component class, not {target!r}")


def _generic(where: str, name: str, use: str, target: Any) -> Parameter:
    if use == "lookup":
        _check_component(where, "Lookup[...]", target)
    elif role_of(target) != "event":
        raise DefinitionError(f"{where}: parameter {name!r} takes a class decorated with @event, not {target!r}")
    return Parameter(name, use, target)
