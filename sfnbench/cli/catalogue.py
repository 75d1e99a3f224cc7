"""The tables of ``sfnbench list``, and members by name for ``sfnbench check``.

Imports no torch to list.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..errors import DataError, PluginError
from ..members import registry
from ..members.datasets import DatasetFile, dataset_files
from ..members.registry import Kind, Member
from ..words import did_you_mean

if TYPE_CHECKING:
    from ..datasets import ImageDataset, TextDataset

Catalogue = list[dict[str, Any]]


def member_table(kind: Kind) -> Catalogue:
    """Every member of a kind.

    Name, summary, parameters with their defaults, and where it is from.
    """
    return [
        {
            "name": member.name,
            "what": f"BROKEN: {member.error}" if member.error else member.summary,
            "parameters": ", ".join(
                f"{f.name}={f.default}" if f.default else f.name
                for f in member.fields
            ),
            "from": member.where if member.where == "shipped" else str(member.path),
        }
        for member in registry.members(kind).values()
    ]


def suites() -> Catalogue:
    """Every suite that can be run by name."""
    from ..suite.files import available, title

    return [
        {"name": name, "what": title(path), "from": str(path)}
        for name, path in available().items()
    ]


def datasets() -> Catalogue:
    """Every dataset that problems can name, by its file's docstring."""
    return [
        {"name": name, "what": file.summary, "from": _origin(file)}
        for name, file in dataset_files().items()
    ]


def _origin(file: DatasetFile) -> str:
    is_shipped = file.path.is_relative_to(registry.HERE / "datasets")
    return "shipped" if is_shipped else str(file.path)


def chosen_datasets(names: Iterable[str]) -> dict[str, ImageDataset | TextDataset]:
    """The datasets of these names; all that can be imported where no name is given."""
    from .. import datasets

    sound = sorted(datasets.names("images") + datasets.names("text"))
    return {name: datasets.known(name) for name in list(names) or sound}


def data(names: Iterable[str] = ()) -> Catalogue:
    """Datasets: their files' number and size, where they are now (by name alone.

    No sum is taken), and their terms.
    """
    from rich.filesize import decimal

    from ..datasets import place

    docs = {row["name"]: row["what"] for row in datasets()}
    table = []
    for name, dataset in chosen_datasets(names).items():
        there = [place(file).is_file() for file in dataset.files]
        sizes = [
            file.n_bytes if here else file.origin.n_bytes
            for file, here in zip(dataset.files, there, strict=True)
        ]
        table.append(
            {
                "name": name,
                "what": docs[name],
                "files": len(there),
                "size": decimal(sum(sizes)) if sizes else "",
                "where": _where(there) if there else f"with {dataset.comes_with}",
                "terms": dataset.terms,
            }
        )
    return table


def _where(there: list[bool]) -> str:
    folder = os.environ.get("SFNBENCH_DATA")
    if not any(there):
        if folder:
            return "missing from the data folder"
        return "to be downloaded"
    if all(there):
        share = ""
    else:
        share = f"{sum(there)} of {len(there)} files in the "
    return share + ("data folder" if folder else "cache")


def verified(names: Iterable[str] = ()) -> Catalogue:
    """Each file of the datasets.

    Its path, and whether it is ok, missing or damaged by its checksum.
    """
    from ..datasets import place, state

    table = []
    for name, dataset in chosen_datasets(names).items():
        table += [
            {"name": name, "state": state(file), "file": str(place(file))}
            for file in dataset.files
        ]
        if not dataset.files:
            table.append(
                {
                    "name": name,
                    "state": _loads(dataset),
                    "file": f"(with {dataset.comes_with})",
                }
            )
    return table


def _loads(dataset: ImageDataset | TextDataset) -> str:
    try:
        dataset.load()
    except DataError:
        return "missing"
    return "ok"


CATALOGUES: dict[str, Callable[[], Catalogue]] = {
    "optimizers": lambda: member_table("optimizer"),
    "problems": lambda: member_table("problem"),
    "finders": lambda: member_table("finder"),
    "metrics": lambda: member_table("metric"),
    "suites": suites,
    "datasets": datasets,
}

# a line below a table on names that suites take too
OTHERS = {
    "optimizers": "Suites also take any optimizer of another package by its name, such as"
    " torch.optim.AdamW or scipy.optimize.BFGS.",
    "problems": "Suites also take problems of CUTEst, such as s2mpj.GENROSE:"
    " pip install 'sfnbench[s2mpj]'.",
}


def chosen(names: Iterable[str]) -> list[Member]:
    """The members of these names, of any kind; all of them where no name is given."""
    known = [
        member
        for kind in registry.KINDS
        for member in registry.members(kind).values()
    ]
    found = []
    for name in names:
        matching = [member for member in known if member.name == name]
        if not matching:
            names = {member.name for member in known}
            hint = did_you_mean(name, names, "sfnbench list")
            raise PluginError(f"unknown member {name!r}{hint}")
        found += matching
    return found or known


def broken_clauses(member: Member, device: str = "cpu") -> dict[str, str]:
    """The clauses of the contract that a member breaks on a device, with what is wrong.

    Empty where it keeps them all.
    """
    from ..members.contract import failures

    try:
        cls = registry.load(member)
    except PluginError as error:
        return {"can be imported": str(error)}
    found = failures(cls, device)
    return {clause: message for clause, message in found.items() if message}
