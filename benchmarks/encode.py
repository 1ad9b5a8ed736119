"""Encode a folder of images by the command line; kill it half-way and let it go on.

    QUERIST_PACKS=../shared/data python benchmarks/encode.py --images 10000 --json results/encode.json

Writes images of CIFAR-10, out of the pack of ``examples/packs``, as PNG and JPEG files in folders, and runs ``querist
encode`` on them with the int8 MobileNetV2 of the packs, in processes of their own that may use some of the cores:
undisturbed; killed with SIGKILL when half of the rows are on record, and given again; and given once more, when all is
known. Fails if the features after the kill differ in a byte. Memory is the peak of the resident set.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PACK, NET = "cifar10_jpeg_q75_60k.npz", "mobilenet_v2_int8.npz"

RUN = """
import json, sys
from pathlib import Path
from querist.cli.main import main
status = main(["encode", "photos", "-e", sys.argv[1], "--store", sys.argv[2], "-o", sys.argv[3], "--json"])
peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
Path(sys.argv[3] + ".peak").write_text(peak)
sys.exit(status)
"""


def write_images(folder: Path, count: int) -> None:
    """Write the first images of the pack, every third one as JPEG, a thousand to a folder."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "packs"))
    from querist_packs import read_pack

    data = read_pack("cifar10", PACK)
    for item in range(count):
        place = folder / f"{item // 1000:02d}"
        place.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(data.picture(item))  # pyright: ignore[reportOptionalCall]
        image.save(place / f"{item:05d}.{'jpg' if item % 3 == 0 else 'png'}", quality=92)


def start(work: Path, encoder: str, store: str, cores: int) -> "subprocess.Popen[str]":
    """Run the command in a process of its own, on some cores."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, encoder, store, f"{store}.npy"], cwd=work, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores]),
    )  # fmt: skip


def finish(process: "subprocess.Popen[str]", work: Path, store: str) -> dict[str, Any]:
    """Return what the command said, its peak memory, and a digest of what it wrote."""
    begun = time.perf_counter()
    text, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"encoding ended with status {process.returncode}: {text}")
    told = json.loads(text)
    peak = int((work / f"{store}.npy.peak").read_text()) // 1024
    outcome = sha256((work / f"{store}.npy").read_bytes() + (work / f"{store}.csv").read_bytes()).hexdigest()
    return {**told, "peak_rss_mb": peak, "outcome": outcome, "waited": time.perf_counter() - begun}


def killed(process: "subprocess.Popen[str]", work: Path, store: str, at: int) -> int:
    """Kill the process when so many rows are on record; return how many there were."""

    def recorded() -> int:
        for path in (work / store / "cache" / "parts").glob("*.json"):
            return int(json.loads(path.read_bytes())["done"])
        return 0

    while recorded() < at:
        if process.poll() is not None:
            raise SystemExit("the command was done before it could be killed; use more images")
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return recorded()


def measure(images: int, size: int, cores: int) -> dict[str, Any]:
    """Write the folder, encode it in all ways, and check what came of it."""
    net = Path(os.environ["QUERIST_PACKS"]).resolve() / "backbones" / NET
    encoder = f"backbone(path='{net}', size={size})"
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        write_images(work / "photos", images)
        whole = finish(start(work, encoder, "calm", cores), work, "calm")
        done = killed(start(work, encoder, "other", cores), work, "other", images // 2)
        resumed = finish(start(work, encoder, "other", cores), work, "other")
        again = finish(start(work, encoder, "other", cores), work, "other")
        shape, kept = np.load(work / "calm.npy", mmap_mode="r").shape, (work / "calm.npy").stat().st_size
    if len({whole["outcome"], resumed["outcome"], again["outcome"]}) > 1:
        raise SystemExit("wrong: the features after the kill differ")
    if again["encoded"]:
        raise SystemExit("wrong: what was known was encoded again")
    return {
        "images": images, "encoder": f"backbone({NET}, size={size})", "features": list(shape), "cores": cores,
        "images_per_second": whole["per_second"], "seconds": whole["seconds"], "peak_rss_mb": whole["peak_rss_mb"],
        "file_mb": round(kept / 1e6, 1), "rows_when_killed": done, "rows_encoded_after": resumed["encoded"],
        "seconds_resumed": resumed["seconds"], "peak_rss_mb_resumed": resumed["peak_rss_mb"], "same_bytes": True,
        "seconds_when_known": again["seconds"], "load": round(os.getloadavg()[0], 2), "machine": platform.machine(),
        "cpus": os.cpu_count(), "versions": {name: version(name) for name in ("numpy", "torch", "pillow")},
    }  # fmt: skip


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the result to this file too")
    options = parser.parse_args()
    result = json.dumps(measure(options.images, options.size, options.cores), indent=1)
    print(result)
    if options.json:
        options.json.write_text(result + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
