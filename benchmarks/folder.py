"""Read a folder of real images with bad files among them; kill the reader half-way and let it go on.

    QUERIST_PACKS=../shared/data python benchmarks/folder.py --images 10000 --bad 40 --json results/folder.json

Writes images out of the packs of ``examples/packs`` as PNG and JPEG files of their own sizes, in a folder per class,
and plants bad files of twelve kinds among them (`plant_bad_files`). Then the dataset ``folder`` is opened in processes
of their own: undisturbed; killed with SIGKILL when half of the files are on record, and opened again; opened once more,
when all is known; and without near copies. Fails if a bad file is not told with its reason, if anything else is set
aside that was not planted or is no copy, or if the outcome after the kill differs in a byte.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from plant_bad_files import plant

SHARES = {
    "cifar10_jpeg_q75_60k.npz": 4, "fashion_mnist.npz": 2, "uc_merced64.npz": 2, "brain_tumor_mri96.npz": 1.5,
    "magnetic_tile128.npz": 0.5,
}  # fmt: skip
"""How the images are shared among the packs."""


def write_images(root: Path, count: int) -> list[Path]:
    """Write images of all packs, every third one as JPEG; return the folders of the classes."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "packs"))
    from querist_packs import read_pack

    folders: set[Path] = set()
    for filename, share in SHARES.items():
        name = filename.removesuffix(".npz")
        data = read_pack(name, filename)
        labels = data.labels.unseal()
        wanted = round(count * share / sum(SHARES.values()))
        chosen = np.random.default_rng(0).permutation(len(data.manifest))[:wanted]
        for item in chosen.tolist():
            place = root / f"{name}-{data.classes[labels[item]]}".replace("/", "-").replace(" ", "-")
            place.mkdir(parents=True, exist_ok=True)
            folders.add(place)
            is_jpeg = item % 3 == 0
            image = Image.fromarray(data.picture(item))  # pyright: ignore[reportOptionalCall]
            image.save(place / f"{item:05d}.{'jpg' if is_jpeg else 'png'}", quality=92)
    return sorted(folders)


def read(photos: Path, cache: Path, threads: int, near_copies: str) -> dict[str, Any]:
    """Open the folder in this process; return times, memory and all that a result could depend on."""
    from querist.data.images.folder import folder
    from querist.kernels.workers import workers
    from querist.progress import listening

    first: list[int] = []
    before = _peak()
    start = time.perf_counter()
    with workers(threads), listening(lambda what, done, total: first.append(done)):
        data = folder(str(photos), cache=str(cache), near_copies="leave_out" if near_copies == "leave_out" else "keep")
    seconds = time.perf_counter() - start
    state = sha256(json.dumps([data.fingerprint, data.manifest.keys, data.paths, data.set_aside]).encode())
    peak = _peak()
    for items in np.array_split(np.arange(len(data.items)), 100):
        state.update(data.items[items].tobytes())
    return {
        "seconds": round(seconds, 3), "known_before": first[0] if first else None, "items": len(data.manifest),
        "pool": len(data.pool), "classes": data.c, "peak_rss_mb": peak, "peak_rss_before_mb": before,
        "set_aside": data.set_aside, "outcome": state.hexdigest(),
    }  # fmt: skip


def _peak() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def start(photos: Path, cache: Path, threads: int, near_copies: str = "keep") -> "subprocess.Popen[str]":
    """Open the folder in a process of its own, which prints what `read` returns."""
    command = [sys.executable, __file__, "--read", str(photos), str(cache), str(threads), near_copies]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def finish(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return what the process found."""
    text, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"reading the folder ended with status {process.returncode}")
    return json.loads(text)


def killed(photos: Path, cache: Path, threads: int, at: int) -> int:
    """Kill a reader when `at` files are on record; return how many there were."""
    process = start(photos, cache, threads)

    def recorded() -> int:
        return sum(path.read_bytes().count(b"\n") for path in cache.rglob("records.jsonl"))

    while recorded() < at:
        if process.poll() is not None:
            raise SystemExit("the reader was done before it could be killed; use more images")
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return recorded()


def measure(images: int, bad: int, threads: int) -> dict[str, Any]:
    """Write the folder, open it in all ways, and check what came of it."""
    with tempfile.TemporaryDirectory() as work:
        photos = Path(work) / "photos"
        planted = plant(write_images(photos, images), bad)
        files = sum(1 for path in photos.rglob("*") if not path.is_dir())
        calm, other = Path(work) / "calm", Path(work) / "other"
        whole = finish(start(photos, calm, threads))
        recorded = killed(photos, other, threads, files // 2)
        resumed = finish(start(photos, other, threads))
        again = finish(start(photos, other, threads))
        apart = finish(start(photos, other, threads, "leave_out"))
        index = sum(path.stat().st_size for path in calm.rglob("*") if path.is_file())
    told = dict(whole["set_aside"])
    found = {str(path): told.get(str(path), "not told") for path in planted}
    wrong = [path for path, reason in planted.items() if not found[str(path)].startswith(reason)]
    others = {path: reason for path, reason in told.items() if path not in found}
    stray = [reason for reason in others.values() if "same content" not in reason]
    if wrong or stray or len({whole["outcome"], resumed["outcome"], again["outcome"]}) > 1:
        raise SystemExit(f"wrong: {wrong or stray or 'the outcome after the kill differs'}")
    return {
        "images": whole["items"], "classes": whole["classes"], "files": files, "threads": threads,
        "seconds": whole["seconds"], "images_per_second": round(whole["items"] / whole["seconds"]),
        "peak_rss_mb": whole["peak_rss_mb"], "peak_rss_before_mb": whole["peak_rss_before_mb"],
        "index_mb": round(index / 1e6, 1), "bad_planted": len(planted), "bad_told": len(found) - len(wrong),
        "reasons_by_kind": {path.stem.partition("-")[2]: found[str(path)] for path in planted},
        "exact_copies_told": len(others), "killed_at": recorded, "known_when_resumed": resumed["known_before"],
        "seconds_resumed": resumed["seconds"], "same_outcome": True, "seconds_second_opening": again["seconds"],
        "near_copies_left_out": whole["pool"] - apart["pool"], "seconds_leaving_out_near_copies": apart["seconds"],
        "load": round(os.getloadavg()[0], 2),
    }  # fmt: skip


def main() -> None:
    """Print one JSON document."""
    if sys.argv[1:2] == ["--read"]:
        photos, cache, threads, near_copies = sys.argv[2:]
        print(json.dumps(read(Path(photos), Path(cache), int(threads), near_copies)))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--bad", type=int, default=40)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="write the result to this file too")
    options = parser.parse_args()
    result = json.dumps(measure(options.images, options.bad, options.threads), indent=1)
    print(result)
    if options.json:
        options.json.write_text(result + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
