"""Finding the app that an import string names."""

import importlib
import sys
from collections.abc import Callable
from typing import Any

from onecopy.errors import AppImportError, AppNotFound


def import_app(name: str, *, factory: bool) -> Callable[..., Any]:
    """Return what `module:attribute` names.

    Raises:
        AppNotFound: there is no such module or attribute, or it cannot be called.
        AppImportError: the module raised while it was imported.
    """
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise AppNotFound(name, 'an app is named "module:attribute", for example "main:app"')
    found: Any = _import_module(name, module_name)
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise AppNotFound(name, _no_attribute(found, module_name, attribute)) from None
    if not callable(found):
        what = type(found).__name__
        raise AppNotFound(name, f"{path!r} is no ASGI app{' factory' * factory} but of type {what}")
    return found


def _import_module(name: str, module_name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(f"{missing}."):
            where = sys.path[0] or "the working folder"
            raise AppNotFound(
                name, f"there is no module {missing!r} in {where} or on the path (see --app-dir)"
            ) from None
        raise AppImportError(name) from error
    except (Exception, SystemExit) as error:
        raise AppImportError(name) from error


def _no_attribute(found: object, module_name: str, attribute: str) -> str:
    callables = [
        key
        for key, value in vars(found).items()
        if not key.startswith("_") and _looks_like_app(value)
    ]
    guess = f"; did you mean {module_name}:{callables[0]}?" if len(callables) == 1 else ""
    return f"module {module_name!r} has no attribute {attribute!r}{guess}"


def _looks_like_app(value: object) -> bool:
    return callable(value) and not isinstance(value, type) and hasattr(value, "router")
