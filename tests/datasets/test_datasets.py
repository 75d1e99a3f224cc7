"""Images, text, their reduction to arrays, and what is known of each set."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from sfnbench import datasets
from sfnbench.datasets import (
    DataError,
    Images,
    area_average,
    digits,
    load,
    load_text,
    mnist,
    text,
)
from sfnbench.datasets._texts import encode
from sfnbench.problems.mlp import MultilayerPerceptron

REAL = Path(os.environ.get("SFNBENCH_DATA", ""))


def needs(name):
    there = os.environ.get("SFNBENCH_DATA") and all(
        (REAL / file.path).exists() for file in datasets.known(name).files
    )
    return pytest.mark.skipif(
        not there, reason=f"no SFNBENCH_DATA with {name} in it"
    )


def images(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


# -- names -----------------------------------------------------------------------------------------


def test_every_dataset_is_of_one_kind():
    assert {"digits", "mnist", "fashion_mnist", "cifar10"} <= set(
        datasets.names("images")
    )
    assert {"penn_treebank", "text"} <= set(datasets.names("text"))
    assert sorted(datasets.names("images") + datasets.names("text")) == list(
        datasets.names()
    )


@pytest.mark.parametrize("name", datasets.names())
def test_every_dataset_says_its_terms_and_where_it_is_from(name):
    dataset = datasets.known(name)
    assert dataset.terms
    assert bool(dataset.files) != bool(dataset.comes_with)
    for file in dataset.files:
        assert file.n_bytes > 0
        assert file.origin.urls


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(
        DataError, match=r"unknown dataset 'minst' \(did you mean 'mnist'\?\)"
    ):
        load("minst")


def test_images_and_text_are_not_taken_for_each_other():
    with pytest.raises(
        DataError,
        match=r"penn_treebank is text, not images; of images there are cifar10, digits",
    ):
        load("penn_treebank")
    with pytest.raises(
        DataError,
        match=r"mnist is images, not text; of text there are penn_treebank, text",
    ):
        load_text("mnist")
    with pytest.raises(
        DataError,
        match=r"unknown dataset 'penn_treebnak' \(did you mean 'penn_treebank'\?\)",
    ):
        load_text("penn_treebnak")


def test_a_perceptron_refuses_text():
    with pytest.raises(ValueError, match="penn_treebank is text, not images"):
        MultilayerPerceptron(dataset="penn_treebank")


# -- digits ----------------------------------------------------------------------------------------


def test_digits_are_those_of_scikit_learn():
    theirs, ours = load_digits(), load("digits")
    np.testing.assert_array_equal(ours.x, theirs.images / 16)
    np.testing.assert_array_equal(ours.y, theirs.target)
    assert (ours.x.dtype, ours.y.dtype, ours.n_classes) == (
        np.float64,
        np.int64,
        10,
    )
    assert ours.x.min() == 0.0
    assert ours.x.max() == 1.0


def test_digits_are_the_same_if_scikit_learn_keeps_its_table_elsewhere(monkeypatch):
    expected = load("digits")
    monkeypatch.setattr(digits.Path, "is_file", lambda path: False)
    moved = load("digits")
    np.testing.assert_array_equal(moved.x, expected.x)
    np.testing.assert_array_equal(moved.y, expected.y)


def test_the_first_examples_are_the_first():
    whole, few = load("digits"), load("digits", n_examples=7)
    np.testing.assert_array_equal(few.x, whole.x[:7])
    np.testing.assert_array_equal(few.y, whole.y[:7])


def test_blocks_leave_no_seam(monkeypatch):
    whole = load("digits", size=5, n_examples=100)
    monkeypatch.setattr(datasets._images, "PIXELS_A_BLOCK", 33)
    np.testing.assert_array_equal(load("digits", size=5, n_examples=100).x, whole.x)
    np.testing.assert_allclose(
        whole.x, area_average(load("digits").x[:100], 5), rtol=1e-14
    )


@pytest.mark.parametrize("n_examples", [0, -1, 1798])
def test_more_examples_than_there_are(n_examples):
    with pytest.raises(
        DataError,
        match=f"{n_examples} examples asked for, but the train split has 1797",
    ):
        load("digits", n_examples=n_examples)


@pytest.mark.parametrize("size", [0, -1, 9])
def test_more_pixels_than_there_are(size):
    with pytest.raises(
        DataError, match=f"{size}x{size} pixels asked for, but the images have 8x8"
    ):
        load("digits", size=size)


def test_digits_have_no_test_split():
    with pytest.raises(DataError, match="the test split has 0"):
        load("digits", "test")


# -- area averages ---------------------------------------------------------------------------------

sizes = st.integers(1, 12)


@given(side=sizes, size=sizes, seed=st.integers(0, 99))
def test_area_average_keeps_the_mean_and_the_range(side, size, seed):
    before = images(2, side, side, seed=seed)
    after = area_average(before, size)
    assert after.shape == (2, size, size)
    assert after.dtype == np.float64
    np.testing.assert_allclose(after.mean((1, 2)), before.mean((1, 2)), rtol=1e-13)
    assert (after.min((1, 2)) >= before.min((1, 2)) * (1 - 1e-14)).all()
    assert (after.max((1, 2)) <= before.max((1, 2)) * (1 + 1e-14)).all()


@given(side=sizes, size=sizes, factor=st.floats(-3, 3))
def test_area_average_is_linear(side, size, factor):
    a, b = images(2, side, side)
    together = area_average(a + factor * b, size)
    np.testing.assert_allclose(
        together, area_average(a, size) + factor * area_average(b, size), atol=1e-13
    )


@given(side=sizes)
def test_area_average_to_the_same_size_is_the_identity(side):
    before = images(3, side, side)
    np.testing.assert_array_equal(area_average(before, side), before)


@given(size=st.integers(1, 6), factor=st.integers(1, 5))
def test_a_whole_factor_is_the_mean_of_blocks(size, factor):
    before = images(2, size * factor, size * factor)
    blocks = before.reshape(2, size, factor, size, factor).mean((2, 4))
    np.testing.assert_allclose(area_average(before, size), blocks, rtol=1e-13)


@given(height=sizes, width=sizes, size=sizes)
def test_any_factor_is_the_mean_of_blocks_of_the_finest_common_grid(
    height, width, size
):
    before = images(height, width)
    # every old edge and every new edge is an edge of this grid
    fine = np.kron(before, np.ones((size, size)))
    blocks = fine.reshape(size, height, size, width).mean((1, 3))
    np.testing.assert_allclose(area_average(before, size), blocks, rtol=1e-12)


def test_weights_are_overlaps_over_the_new_cell():
    """28 to 10 as it is defined.

    W[i, j] = |[2.8 i, 2.8 (i + 1)] and [j, j + 1]| / 2.8, applied from both sides.
    """
    i, j = np.ogrid[:10, :28]
    W = (
        np.clip(np.minimum(2.8 * (i + 1), j + 1) - np.maximum(2.8 * i, j), 0, None)
        / 2.8
    )
    before = images(3, 28, 28)
    np.testing.assert_allclose(
        area_average(before, 10), W @ before @ W.T, rtol=1e-12
    )


def test_white_bytes_stay_exactly_white():
    assert (area_average(np.full((28, 28), 255, np.uint8), 10) / 255 == 1.0).all()


# -- the real ones ---------------------------------------------------------------------------------


@needs("mnist")
@pytest.mark.parametrize(
    ("split", "counts"),  # as published with the data set
    [
        ("train", [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
        ("test", [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
    ],
)
def test_mnist_has_the_published_number_of_each_digit(split, counts):
    assert np.bincount(load("mnist", split, size=1).y).tolist() == counts


@needs("mnist")
def test_mnist_averaged_down_keeps_every_mean():
    whole, small = (
        load("mnist", n_examples=5000),
        load("mnist", n_examples=5000, size=10),
    )
    assert isinstance(small, Images)
    assert (whole.x.shape, small.x.shape) == ((5000, 28, 28), (5000, 10, 10))
    assert (whole.x.min(), whole.x.max()) == (0.0, 1.0)
    np.testing.assert_allclose(
        small.x.mean((1, 2)), whole.x.mean((1, 2)), rtol=1e-12
    )


@needs("mnist")
def test_mnist_training_pixels_have_the_well_known_mean():
    assert round(float(load("mnist", size=1).x.mean()), 4) == 0.1307


# the numbers are as published with the data set
@needs("fashion_mnist")
@pytest.mark.parametrize(("split", "n"), [("train", 6000), ("test", 1000)])
def test_fashion_mnist_has_as_many_of_each(split, n):
    assert np.bincount(load("fashion_mnist", split, size=1).y).tolist() == [n] * 10


@needs("fashion_mnist")
def test_fashion_mnist_training_pixels_have_the_well_known_mean_and_deviation():
    x = load("fashion_mnist").x
    assert (round(float(x.mean()), 4), round(float(x.std()), 4)) == (0.2860, 0.3530)


# the numbers are as published with the data set
@needs("cifar10")
@pytest.mark.parametrize(("split", "n"), [("train", 5000), ("test", 1000)])
def test_cifar10_has_as_many_of_each(split, n):
    images = load("cifar10", split)
    assert images.x.shape == (10 * n, 10, 10)
    assert np.bincount(images.y).tolist() == [n] * 10


@needs("cifar10")
def test_cifar10_is_smaller_but_never_larger():
    whole, small = (
        load("cifar10", n_examples=50),
        load("cifar10", n_examples=50, size=4),
    )
    np.testing.assert_array_equal(small.x, area_average(whole.x * 255, 4) / 255)
    with pytest.raises(
        DataError, match="32x32 pixels asked for, but the images have 10x10"
    ):
        load("cifar10", size=32)


@needs("mnist")
@pytest.mark.parametrize("damage", ["flipped", "truncated"])
def test_damaged_mnist_is_refused(tmp_path, monkeypatch, damage):
    (tmp_path / "mnist").mkdir()
    for name in mnist.SUMS:
        if name.startswith("t10k"):
            content = bytearray((REAL / "mnist" / name).read_bytes())
            if "labels" in name:
                content = content[:-100] if damage == "truncated" else content
                content[1000] ^= 1
            (tmp_path / "mnist" / name).write_bytes(content)
    monkeypatch.setenv("SFNBENCH_DATA", str(tmp_path))
    with pytest.raises(
        DataError,
        match=rf"t10k-labels-idx1-ubyte.gz is not .*expected {mnist.DATASET.files[3].sha256}",
    ):
        load("mnist", "test")


# -- text ------------------------------------------------------------------------------------------


def decoded(read):
    return "".join(read.alphabet[code] for code in read.codes)


ALPHABET = "abcéλ😀"


@given(st.text(ALPHABET, max_size=20))
def test_codes_are_places_in_the_alphabet(letters):
    read = encode(letters, ALPHABET)
    assert read.codes.tolist() == [ALPHABET.index(letter) for letter in letters]
    assert read.codes.dtype == np.int64
    assert decoded(read) == letters


@given(st.text(min_size=1, max_size=20))
def test_the_first_unknown_character_is_named(letters):
    unknown = [
        place for place, letter in enumerate(letters) if letter not in ALPHABET
    ]
    if not unknown:
        return
    with pytest.raises(DataError) as caught:
        encode(letters, ALPHABET)
    assert (
        f"character {letters[unknown[0]]!r} at place {unknown[0]} is not in the alphabet"
        in str(caught.value)
    )


def test_text_is_a_part_of_what_help_says():
    from pydoc_data.topics import topics

    whole = load_text("text")
    assert whole.codes.shape == (400_000,)
    assert len(whole.alphabet) == 96
    lines = set(decoded(whole).splitlines())
    for name in ("assert", "comparisons", "if"):
        assert lines.issuperset(
            line for line in topics[name].splitlines() if line.isascii()
        )


def test_the_first_characters_are_the_first():
    np.testing.assert_array_equal(
        load_text("text", n_characters=100).codes, load_text("text").codes[:100]
    )


@pytest.mark.parametrize("n_characters", [0, -1, 400_001])
def test_more_characters_than_there_are(n_characters):
    with pytest.raises(
        DataError,
        match=f"{n_characters} characters asked for, but the train split has 400000",
    ):
        load_text("text", n_characters=n_characters)


def test_text_has_no_other_split():
    with pytest.raises(DataError, match="the valid split has 0"):
        load_text("text", "valid")


def test_a_shorter_manual_is_said(monkeypatch):
    import pydoc_data.topics

    monkeypatch.setattr(pydoc_data.topics, "topics", {"b": "second…", "a": "first"})
    assert text._read_text("train") == "first\nsecond\n"
    with pytest.raises(
        DataError, match="train split: 13 characters where 400000 were expected"
    ):
        load_text("text")


def test_a_python_without_its_manual(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(
        DataError, match=r"this Python comes without pydoc_data\.topics"
    ):
        load_text("text")


# as published: 929k, 73k and 82k words, each sentence's end counted as one; the train split to the
# word
@needs("penn_treebank")
@pytest.mark.parametrize(
    ("split", "n_words", "unit", "n_letters"),
    [("train", 929_589, 1, 50), ("valid", 73, 1000, 50), ("test", 82, 1000, 48)],
)
def test_penn_treebank_has_the_published_number_of_words(
    split, n_words, unit, n_letters
):
    read = load_text("penn_treebank", split)
    assert len(read.alphabet) == 50
    assert len(np.unique(read.codes)) == n_letters
    lines = decoded(read).split("\n")
    assert lines.pop() == ""
    assert sum(len(line.split()) + 1 for line in lines) // unit == n_words
    assert all(line.startswith(" ") and line.endswith(" ") for line in lines)


@needs("penn_treebank")
def test_penn_treebank_is_the_file_as_it_is():
    raw = (REAL / "ptb/ptb.valid.txt").read_bytes()
    read = load_text("penn_treebank", "valid")
    assert decoded(read).encode("ascii") == raw
    assert read.alphabet == "".join(
        sorted(set((REAL / "ptb/ptb.train.txt").read_text(encoding="ascii")))
    )
