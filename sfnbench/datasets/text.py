"""Python's reference manual, as ``help()`` shows it: 400,000 characters that come with Python.

The topics of ``pydoc_data.topics`` in the order of their names, a newline after each; of these the
characters of the alphabet, newline and the 95 that ASCII prints (a few dashes and accents are left
out), and of those the first 400,000. Length and alphabet are the same for every Python, so models
have the same size; the text is the same on every platform but *not* for every release of Python, as
the manual is edited. Losses on it compare only under one Python, whose version every result carries
(`python` in ``sfnbench env``). All of it is the train split.
"""

from ..errors import DataError
from ._texts import TextDataset, TextSplit

N_CHARACTERS = 400_000
ALPHABET = "\n" + "".join(map(chr, range(32, 127)))


def _read_text(split: TextSplit) -> str:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataError(
            f"this Python comes without pydoc_data.topics, the text of help(): {error}"
        ) from error
    text = "".join(f"{topics[name]}\n" for name in sorted(topics))
    return text.translate(
        {ord(character): None for character in set(text).difference(ALPHABET)}
    )[:N_CHARACTERS]


DATASET = TextDataset(
    n_characters={"train": N_CHARACTERS},
    alphabet=ALPHABET,
    read=_read_text,
    terms="Python Software Foundation License",
    comes_with="Python",
)
