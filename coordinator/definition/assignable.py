"""May a value of one type stand where another is asked for? As a type checker would say, as far as can be known here.

What cannot be decided counts as yes: the type checker has its say, and every value is validated when it is read.
"""

import inspect
import types
from typing import Any, Literal, NewType, TypeVar, Union, get_args, get_origin

from typing_extensions import is_typeddict

from amends.coordinator.definition.fields import plain

_WIDER: dict[type, tuple[type, ...]] = {int: (float, complex), float: (complex,)}


def assignable(given: object, asked: object) -> bool:
    """Whether every value of `given` is one of `asked`."""
    given, asked = _plain(given), _plain(asked)
    if (
        given == asked
        or asked in {Any, object}
        or given is Any
        or isinstance(asked, TypeVar)
        or isinstance(given, TypeVar)
    ):
        return True
    if _is_union(given):
        return all(assignable(each, asked) for each in get_args(given))
    if _is_union(asked):
        return any(assignable(given, each) for each in get_args(asked))
    if get_origin(given) is Literal:
        return _literal_assignable(given, asked)
    if get_origin(asked) is Literal:
        return False
    if isinstance(given, NewType):
        return given is asked or assignable(given.__supertype__, asked)
    if isinstance(asked, NewType):
        return False
    return _class_assignable(given, asked)


def _class_assignable(given: object, asked: object) -> bool:
    given_class, asked_class = get_origin(given) or given, get_origin(asked) or asked
    if not (inspect.isclass(given_class) and inspect.isclass(asked_class)):
        return True
    if is_typeddict(given_class) or is_typeddict(asked_class):
        return given_class is asked_class or (is_typeddict(given_class) and asked_class is dict)
    if asked_class in _WIDER.get(given_class, ()):
        return True
    if getattr(asked_class, "_is_protocol", False):
        return True
    if not issubclass(given_class, asked_class):
        return False
    return _arguments_assignable(given, asked)


def _arguments_assignable(given: object, asked: object) -> bool:
    ours, theirs = get_args(given), get_args(asked)
    if not ours or not theirs or len(ours) != len(theirs) or Ellipsis in ours or Ellipsis in theirs:
        return True
    return all(assignable(mine, yours) for mine, yours in zip(ours, theirs, strict=True))


def _literal_assignable(given: object, asked: object) -> bool:
    if get_origin(asked) is Literal:
        return set(get_args(given)) <= set(get_args(asked))
    return all(assignable(type(value), asked) for value in get_args(given))


def _plain(hint: object) -> object:
    hint = plain(hint)
    return type(None) if hint is None else hint


def _is_union(hint: object) -> bool:
    return get_origin(hint) in {Union, types.UnionType}
