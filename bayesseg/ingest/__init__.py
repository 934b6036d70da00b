"""From purchase files and frames to clean rows, each accounted for. L2."""

from bayesseg.ingest.attributes import read_table
from bayesseg.ingest.clean import finding, many
from bayesseg.ingest.options import Options
from bayesseg.ingest.purchases import Purchases, read_purchases
from bayesseg.ingest.source import Frame, Source

__all__ = [
    "Frame",
    "Options",
    "Purchases",
    "Source",
    "finding",
    "many",
    "read_purchases",
    "read_table",
]
