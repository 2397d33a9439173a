"""`celery -A app:shared.celery`: Celery itself knows attributes of modules, and none of these.

When it finds no attribute `shared.celery` in the module `app`, it imports a module of the whole
name, `app:shared.celery`. What is installed here makes that import return the attribute.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import reduce
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from onecopy.errors import OneCopyError


class _Finder(MetaPathFinder, Loader):
    """Finds `module:name`, a package of attributes, and `module:name.attribute` in it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        module, colon, names = fullname.partition(":")
        if not colon or module not in sys.modules or not names:
            return None
        try:
            reduce(getattr, names.split("."), sys.modules[module])
        except AttributeError:
            return None
        except OneCopyError as error:  # Celery would show where it was raised, at length.
            raise SystemExit(f"onecopy: {error}") from None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Put the attribute in the place of the module."""
        name, _, names = module.__name__.partition(":")
        if "." in names:
            sys.modules[module.__name__] = reduce(getattr, names.split("."), sys.modules[name])


def install() -> None:
    """Let Celery's commands find attributes of attributes, in a process that is one of them."""
    if "celery.bin" in sys.modules and not any(isinstance(each, _Finder) for each in sys.meta_path):
        sys.meta_path.append(_Finder())
