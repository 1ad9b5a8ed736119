"""Examples in docstrings are looked for in every module; some of these can be imported only with what they stand on."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") and find_spec("lightning_fabric") else ["querist/nets/*"]
if not find_spec("skactiveml"):
    collect_ignore_glob.append("querist/adapters/skactiveml.py")
