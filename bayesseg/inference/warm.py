"""Imported by the fork server alone: what every compilation shares is done here, once. L5.

The first model compiled in a process pays for Numba's own machinery (measured: 4 of 5 seconds). A toy
model pays it while the data are being read, and every child forked afterwards has it.
"""

import signal


def _compile_toy() -> None:
    import numpy as np
    import pymc as pm

    from bayesseg.inference.nuts import compile_model

    with pm.Model() as toy:
        pm.Potential("toy", pm.LogNormal("x") * pm.Beta("y", 2, 2) * pm.Data("z", np.ones(2)).sum())
    compile_model(toy)


signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
_compile_toy()
