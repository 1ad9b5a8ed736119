"""The hubness of what a session chooses from."""

import numpy as np

from querist.evidence.features import unit_rows
from querist.evidence.needs import Features
from querist.kernels.hubness import LIMIT, Hubness, hubness
from querist.seeds import Seed
from querist.session.setting import Setting


def pool_hubness(setting: Setting) -> Hubness:
    """Return the hubness of the frozen features of a pool, as unit rows; of a random sample of a large one."""
    pool = setting.dataset.pool
    key = Seed(0).child(setting.dataset.name, "hubness").key()
    # The sample before its features: of a large pool nobody else may want unit rows of all.
    sample = pool[np.sort(np.argsort(key.hash(pool))[:LIMIT])]
    x_m_d = unit_rows(setting.view(sample)[Features(normalise=False)])
    return hubness(x_m_d, key.hash(sample))._replace(of=len(pool))
