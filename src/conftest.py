"""Examples in docstrings are looked for in every module; those of `querist.nets` can be imported only with torch."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") and find_spec("lightning_fabric") else ["querist/nets/*"]
