"""Does a family, or a model of segments, keep the promises that the rest of the program rests on? L9.

```python
from bayesseg.conformance import check_family, check_segmenter

report = check_family(MY_FAMILY)            # a bayesseg._types.Family
report = check_segmenter("my_segments.toml")
print(report)                               # every check, how far off it was, and where
assert report.passed
```

Nothing here needs a test runner.
"""

from bayesseg.conformance.family import check_family
from bayesseg.conformance.report import Finding, Report
from bayesseg.conformance.segmenter import check_segmenter

__all__ = ["Finding", "Report", "check_family", "check_segmenter"]
