"""Names of segments, from how recently, how often and for how much their customers buy. L7.

R, F and M are membership-weighted mean ranks in [0, 1] of recency (high is recent), frequency and total
spend. A customer is ranked among the *repeat* customers: where half of all came only once, a rank among
everybody would call any second purchase loyal, however long ago. The first rule true in at least four
draws in five gives the name; a segment on the border of two rules is called by both, any other by its
number. What experts say in a map goes before every rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from bayesseg import segment_map
from bayesseg._types import Array, Draws
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import UsageError
from bayesseg.families.gmm import responsibilities
from bayesseg.posterior import Posterior
from bayesseg.segment_map import SegmentMap

SURE = 0.8
DRAWS = 100
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Rule:
    """A name in English and French, when it holds, and what to do with such customers."""

    name: str
    name_fr: str
    holds: Callable[[Array, Array, Array], Any]
    action: str
    action_fr: str


RULES = (
    Rule(
        "champions",
        "champions",
        lambda R, F, M: (R >= 0.65) & (F >= 0.65) & (M >= 0.65),
        "thank them: early access, referrals; no discounts, they buy anyway",
        "les remercier (avant-premières, parrainage) ; pas de remise, ils achètent de toute façon",
    ),
    Rule(
        "can't lose them",
        "à ne pas perdre",
        lambda R, F, M: (R < 0.35) & (M >= 0.65),
        "call: they were worth a lot and have gone quiet",
        "appeler, car ils valaient beaucoup et n'achètent plus",
    ),
    Rule(
        "loyal",
        "fidèles",
        lambda R, F, M: (F >= 0.6) & (R >= 0.4),
        "cross-sell: they come back by themselves",
        "proposer d'autres gammes, car ils reviennent d'eux-mêmes",
    ),
    Rule(
        "at risk",
        "à risque",
        lambda R, F, M: (R < 0.4) & (F >= 0.45),
        "an offer with a date on it, before the silence becomes a habit",
        "une offre à date limite, avant que l'absence ne devienne une habitude",
    ),
    Rule(
        "tried and left",
        "partis après essai",
        lambda R, F, M: (R < 0.4) & (F < 0.05),
        "low-cost contact only: most came once and not again",
        "contact à faible coût seulement, car la plupart ne sont venus qu'une fois",
    ),
    Rule(
        "hibernating",
        "en sommeil",
        lambda R, F, M: (R < 0.4) & (F < 0.45),
        "low-cost contact only",
        "contact à faible coût seulement",
    ),
    Rule(
        "promising",
        "prometteurs",
        lambda R, F, M: (R >= 0.5) & (F < 0.35),
        "win the next order: a welcome, a reminder",
        "gagner la prochaine commande par un accueil, un rappel",
    ),
    Rule(
        "need attention",
        "à suivre",
        lambda R, F, M: (R >= 0.4) & (F < 0.6),
        "a reason to come back soon: they are neither new nor regular",
        "une raison de revenir bientôt, car ils ne sont ni nouveaux ni réguliers",
    ),
)
"""In the order in which they are tried; together they leave no gap."""

_CONTRASTS = (
    (("more recent", "longer silent"), ("plus récents", "sans achat depuis plus longtemps")),
    (("more often", "less often"), ("plus souvent", "moins souvent")),
    (("higher spend", "lower spend"), ("plus gros paniers", "plus petits paniers")),
)


@dataclass(frozen=True, slots=True)
class Name:
    """A name and what to do, in both languages.

    ``rule`` is the rule behind it, where one is sure; ``holds`` the share of draws in which each rule is
    true, where it is not none.
    """

    name: str
    name_fr: str
    action: str
    action_fr: str
    rule: str = ""
    holds: Mapping[str, float] = field(default_factory=dict)


def numbered(k: int) -> Name:
    """What a segment is called that no rule names: by its place, counted from 0."""
    return Name(
        f"segment {k + 1}",
        f"segment {k + 1}",
        "look at its profile and give it a name",
        "regarder son profil et lui donner un nom",
    )


def ids_of(components: int) -> list[str]:
    """Persistent ids of segments, largest first: S1, S2, ..."""
    return [f"S{k + 1}" for k in range(components)]


def _rank(values: Array, among: Array) -> Array:
    """Share of ``among`` below each value, ties by half."""
    order = np.sort(among)
    below = np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right")
    return np.asarray(below / (2 * len(order)))


def rfm_ranks(customers: Customers) -> Array:
    """Ranks of recency, frequency and total spend among repeat customers, in [0, 1]: (N, 3)."""
    repeated = customers.x > 0
    among = repeated if repeated.any() else ~repeated
    spend = customers.first_spend + customers.repeat_spend
    last = (customers.t_x - customers.t_end).astype(np.float64)
    columns = (last, customers.x.astype(np.float64), spend)
    return np.stack([_rank(c, c[among]) for c in columns], axis=1)


def mean_ranks(theta: Mapping[str, Array], ranks: Array, matrix: Array) -> Array:
    """Membership-weighted mean ranks of each draw and segment: (S, K, 3), chunk by chunk."""
    total = np.zeros((*theta["weights"].shape, 3))
    size = np.zeros(theta["weights"].shape)
    for start in range(0, len(matrix), _CHUNK):
        rows = slice(start, start + _CHUNK)
        member = responsibilities(theta, matrix[rows])
        total += np.einsum("nsk,nj->skj", member, ranks[rows], optimize=True)
        size += member.sum(0)
    return total / np.maximum(size, 1e-300)[..., None]


def names(means: Array) -> list[Name]:
    """A unique name for each segment, from mean ranks R, F, M of each draw and segment (S, K, 3)."""
    R, F, M = np.moveaxis(means, 2, 0)
    holds = np.stack([rule.holds(R, F, M) for rule in RULES])  # (rules, S, K)
    base = [_name(holds[:, :, k], k) for k in range(means.shape[1])]
    return _told_apart(base, means.mean(0))


def _name(holds: Array, k: int) -> Name:
    """The first sure rule, else the border of the two that come first in most draws."""
    share = holds.mean(1)
    shares = {rule.name: float(one) for rule, one in zip(RULES, share, strict=True) if one > 0}
    sure = np.flatnonzero(share >= SURE)
    if len(sure):
        rule = RULES[sure[0]]
        return Name(rule.name, rule.name_fr, rule.action, rule.action_fr, rule.name, shares)
    first = np.bincount(holds.argmax(0)[holds.any(0)], minlength=len(RULES)) / holds.shape[1]
    two = np.sort(np.argsort(-first, kind="stable")[:2])
    if first[two].sum() < SURE:
        return replace(numbered(k), holds=shares)
    one, other = (RULES[r] for r in two)
    return Name(
        f"between {one.name} and {other.name}",
        f"entre {one.name_fr} et {other.name_fr}",
        f"look closer: they are {one.name} or {other.name}, and the data do not say which",
        f"regarder de plus près ({one.name_fr} ou {other.name_fr}), car les données ne tranchent pas",
        holds=shares,
    )


def _told_apart(base: Sequence[Name], means: Array) -> list[Name]:
    """Unique names: two of a kind differ by what parts them most, more by their number."""
    final = list(base)
    for name in sorted({one.name for one in base}):
        alike = [k for k, one in enumerate(base) if one.name == name]
        suffixes = [(f"{n + 1}",) * 2 for n in range(len(alike))]
        if len(alike) == 2:
            gap = means[alike[0]] - means[alike[1]]
            axis = int(np.argmax(np.abs(gap)))
            ends = list(zip(*_CONTRASTS[axis], strict=True))  # ((high, haut), (low, bas))
            suffixes = ends if gap[axis] > 0 else ends[::-1]
        for k, (english, french) in zip(alike, suffixes, strict=True):
            if len(alike) > 1:
                own = base[k]
                final[k] = replace(
                    own, name=f"{own.name} ({english})", name_fr=f"{own.name_fr} ({french})"
                )
    return final


def by_rules(data: Customers | Attributes, draws: Draws, matrix: Array) -> list[Name]:
    """What the rules call the segments of a fit.

    Args:
        data: the customers of the fit; a table of clients without purchases gives plain numbers.
        draws: the segments' draws.
        matrix: (N, D) the feature matrix, aligned with ``data``.
    """
    if isinstance(data, Attributes):
        return [numbered(k) for k in range(draws.values["weights"].shape[2])]
    flat = {name: a.reshape(-1, *a.shape[2:]) for name, a in draws.values.items()}
    some = np.linspace(0, len(flat["weights"]) - 1, DRAWS).astype(np.int64)
    return names(mean_ranks({n: a[some] for n, a in flat.items()}, rfm_ranks(data), matrix))


def named(data: Customers | Attributes, draws: Draws, matrix: Array) -> dict[str, Any]:
    """Ids, names and texts of a first fit, as a manifest keeps them; arguments as ``by_rules``."""
    found = by_rules(data, draws, matrix)
    return entry(ids_of(len(found)), found)


def entry(
    ids: Sequence[str],
    found: Sequence[Name],
    *,
    own: SegmentMap | None = None,
    ever: int | None = None,
    previous: Mapping[str, Any] | None = None,
    words: Sequence[str] = (),
) -> dict[str, Any]:
    """The ``segments`` of a manifest.

    ``ids`` and ``names`` are those of the model's segments, in the order of the draws; ``texts`` what
    goes with a name; ``map`` what experts say; ``ever`` the highest number an id ever had, so that none
    is used twice; ``previous`` the run this one continues and what became of its segments; ``words``
    what people must know of all that.
    """
    texts = [{k: v for k, v in asdict(one).items() if k != "name"} for one in found]
    return {
        "ids": list(ids),
        "names": {one: name.name for one, name in zip(ids, found, strict=True)},
        "texts": dict(zip(ids, texts, strict=True)),
        "map": None if own is None else segment_map.to_json(own),
        "ever": max(ever or 0, *(int(one[1:]) for one in ids)),
        "previous": previous,
        "words": list(words),
    }


def mapped(posterior: Posterior, own: SegmentMap) -> Posterior:
    """The posterior with its segments as ``own`` has them, in place of the map it was stored with.

    Raises:
        UsageError: it has no segments, or the map names one that is not there or gives one the name
            of another.
    """
    found = posterior.manifest["segments"]
    if found is None:
        raise UsageError(
            f"model {posterior.spec.name!r} has no segments to name",
            fix="give a run of a model with a [segments] part, such as retail",
        )
    segment_map.plan(own, found["ids"])
    segment_map.refuse_doubles(own, found)
    manifest = {**posterior.manifest, "segments": {**found, "map": segment_map.to_json(own)}}
    return replace(posterior, manifest=manifest)
