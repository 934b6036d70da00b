"""Compiled functions are kept on disk, and known there by their names."""

import pytest

from bayesseg._compiled import compiled


def adding(number):
    @compiled
    def add(x: float) -> float:
        return x + number

    return add


def test_variants_of_a_function_have_names_of_their_own():
    """Numba counts functions anew in every process: names alone keep the code of variants apart."""
    one, two = adding(1), adding(2.5)
    assert (one(1.0), two(1.0)) == (2.0, 3.5)
    names = [each.overloads[each.signatures[0]].fndesc.qualname for each in (one, two)]
    assert names == ["adding.<locals>.add_1", "adding.<locals>.add_2.5"]


def test_only_numbers_may_be_closed_over():
    rows = [1.0]
    with pytest.raises(TypeError, match="closes over something else than numbers"):
        compiled(lambda: rows[0])
