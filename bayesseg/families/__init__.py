"""The families, by the name model files use."""

from __future__ import annotations

from collections.abc import Mapping

from bayesseg._types import Family
from bayesseg.families import bgnbd, gammagamma, gmm, mbgnbd, paretonbd

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        bgnbd.FAMILY,
        mbgnbd.FAMILY,
        paretonbd.FAMILY,
        gammagamma.FAMILY,
        gmm.FAMILY,
    )
}
