# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The pairs of Tatoeba, English and Chinese, in three splits that share no sentence: `split_pairs`, for which simplified
and traditional characters are the same. Needs opencc: `pip install opencc`.

    python benchmarks/tatoeba.py --data FOLDER --output runs/tatoeba       # FOLDER/tatoeba_cmn_eng/cmn.txt.gz

Each line of the files keeps the attribution that the licence asks for. `seeds.py tatoeba_en_zh tatoeba_zh_en` reads
them.
"""

import argparse
from pathlib import Path

from opencc import OpenCC

from hf_lstm.data import read_pairs, split_pairs


HELD_OUT = 1500  # pairs of the test data, and as many to choose an epoch by


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with the data sets")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    pairs = read_pairs(args.data / "tatoeba_cmn_eng" / "cmn.txt.gz")
    splits = split_pairs(pairs, test=HELD_OUT, validation=HELD_OUT, target_key=OpenCC("t2s").convert)
    for name, rows in splits.items():
        rows.to_json(str(args.output / f"{name}.jsonl"), force_ascii=False)
        print(f"{name}: {len(rows):,} pairs")


if __name__ == "__main__":
    main()
