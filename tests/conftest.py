"""Hypothesis for a suite that must not flake: no deadline, for first calls compile, and the same examples every time.

``HYPOTHESIS_PROFILE=search`` looks for new examples instead, for as long as one likes.
"""

import os

from hypothesis import settings

settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.register_profile("search", deadline=None, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))
