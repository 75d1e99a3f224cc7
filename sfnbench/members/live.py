"""Members that a script or a notebook cell defines, with all that they use of it.

Their source is written out as a file of its own: what they import, the plain values that they read,
the functions and classes that they call. That file is their identity and is kept with their
results; worker processes get the class itself, by cloudpickle. What cannot be written out, or
shipped, is refused before anything runs.
"""

from __future__ import annotations

import ast
import atexit
import dataclasses
import dis
import functools
import hashlib
import inspect
import io
import linecache
import shutil
import sys
import tempfile
import textwrap
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import PluginError

MAIN = "__main__"
_PLAIN = {
    *("NoneType", "bool", "int", "float", "complex", "str", "bytes", "ellipsis"),
    *("dtype", "device"),
}
ADVICE = "make it a field, or a constant of the method"


_FIELD: Any = dataclasses._FIELD  # type: ignore[attr-defined]
_MARKS: dict[type, Any] = {  # a text is the name of a global of their module
    type(dataclasses.MISSING): lambda _: "MISSING",
    type(dataclasses.KW_ONLY): lambda _: "KW_ONLY",
    type(_FIELD): lambda mark: mark.name,
}
_received: set[type] = set()  # by a worker process, which cannot read their source


def written_out(name: str, cls: type) -> Path:
    """The file with a live member's source and all it uses; PluginError where there is none."""
    if cls in _received:
        return Path(MAIN)
    names = needed(name, cls)
    parts = [_definition(name, key, value) for key, value in names.items()]
    imports = sorted(
        part for part in parts if part.startswith(("import ", "from "))
    )
    rest = [part for part in parts if part not in imports]
    text = "\n\n\n".join(["\n".join(imports), *rest]) + "\n"
    path = _folder() / f"{name}.py"
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
    return path


def needed(member: str, cls: type) -> dict[str, Any]:
    """All that a class uses of its script, by name, itself last."""
    if "<locals>" in cls.__qualname__:
        raise PluginError(
            f"{member}: {cls.__name__} is defined inside a function; define it at the top of the"
            " script or of a notebook cell"
        )
    scope = vars(sys.modules[MAIN])
    found: dict[str, Any] = {}
    waiting = [(cls.__name__, cls)]
    while waiting:
        name, value = waiting.pop()
        if name in found:
            continue
        found[name] = value
        if _is_own(value):
            for used in sorted(_names_in(source(member, value))):
                if used in scope and not used.startswith("__"):
                    waiting.append((used, scope[used]))
    return dict(reversed(found.items()))


def source(member: str, thing: Any) -> str:
    """The source of a class or function of a script or a notebook cell."""
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        pass
    # A notebook has no file for classes; their methods know the cell
    for method in vars(thing).values() if isinstance(thing, type) else ():
        code = getattr(inspect.unwrap(method), "__code__", None)
        if code is not None:
            text = "".join(linecache.getlines(code.co_filename))
            if found := _class_in(text, thing.__name__):
                return found
    raise PluginError(
        f"{member}: the source of {thing.__qualname__} cannot be read; define it in a file or in"
        " a notebook cell"
    )


def shipped_live(members: Mapping[tuple[str, str], type]) -> bytes:
    """Classes by kind and name, for another process; PluginError where one cannot go."""
    if not members:
        return b""
    scopes = {key: needed(key[1], cls) for key, cls in members.items()}
    scope = {
        name: value for each in scopes.values() for name, value in each.items()
    }
    try:
        return _pickled((dict(members), scope))
    except Exception as error:
        names = ", ".join(name for _, name in members)
        raise PluginError(
            f"{names}, of this script, cannot be sent to a worker process"
            f" ({type(error).__name__}: {error}); engine 'inline' runs it here"
        ) from error


def unpack_live(shipped: bytes) -> dict[tuple[str, str], type]:
    """The classes that `shipped_live` has packed, with what they use of their script."""
    import cloudpickle

    members, scope = cloudpickle.loads(shipped)
    # Annotations that are text are looked up in the module that a class says it is from
    vars(sys.modules[MAIN]).update(scope)
    _received.update(members.values())
    return dict(members)


# -- inside ----------------------------------------------------------------------------------------


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="sfnbench-live-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _pickled(content: Any) -> bytes:
    """By cloudpickle; the marks of dataclasses, which are compared by identity, stay themselves."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):
        dispatch_table = cloudpickle.Pickler.dispatch_table.new_child(_MARKS)

    written = io.BytesIO()
    Pickler(written).dump(content)
    return written.getvalue()


def _is_own(value: Any) -> bool:
    """Whether the script itself defines a class or a function."""
    is_code = isinstance(value, type | types.FunctionType)
    return is_code and value.__module__ == MAIN


def _names_in(text: str) -> set[str]:
    """The names that some source looks up outside of its functions' own variables."""
    waiting = [
        compile(textwrap.dedent(text), "<source>", "exec", dont_inherit=True)
    ]
    found: set[str] = set()
    while waiting:
        code = waiting.pop()
        for each in dis.get_instructions(code):
            if each.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                found.add(each.argval)
        waiting += [
            each for each in code.co_consts if isinstance(each, types.CodeType)
        ]
    return found


def _definition(member: str, name: str, value: Any) -> str:
    """A definition of a name: its source, an import, or a value; PluginError otherwise."""
    if _is_own(value):
        return textwrap.dedent(source(member, value)).rstrip()
    if isinstance(value, types.ModuleType):
        return f"import {value.__name__} as {name}"
    if isinstance(value, types.BuiltinFunctionType) and not value.__module__:
        return f"{name} = {value.__name__!r}"
    if typing.get_origin(value) is not None or _is_plain(value):
        return f"{name} = {value!r}"
    home = getattr(value, "__module__", None)
    known = getattr(value, "__qualname__", "")
    if isinstance(home, str) and known.isidentifier() and home != MAIN:
        return f"from {home} import {known} as {name}"
    if digest := _array_digest(value):
        return f"{name} = {digest!r}"
    raise PluginError(
        f"{member} uses {name}, a {type(value).__name__} of the script, which no result can be"
        f" traced to: {ADVICE}"
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list | set | frozenset):
        return all(_is_plain(each) for each in value)
    if isinstance(value, dict):
        return all(_is_plain(each) for pair in value.items() for each in pair)
    return type(value).__name__ in _PLAIN


def _array_digest(value: Any) -> str:
    """An array or a tensor as the hash of its numbers; empty for anything else."""
    if hasattr(value, "cpu"):
        array = value.detach().cpu().numpy()
    else:
        array = value
    if not hasattr(array, "tobytes") or not hasattr(array, "dtype"):
        return ""
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    return f"{array.dtype} {array.shape} {digest}"


def _class_in(text: str, name: str) -> str:
    """The last class of that name in a source, with its decorators; empty where there is none."""
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a cell with magics
        return ""
    found = ""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            first = min(
                [node.lineno, *(each.lineno for each in node.decorator_list)]
            )
            lines = text.splitlines()[first - 1 : node.end_lineno]
            found = "\n".join(lines)
    return found
