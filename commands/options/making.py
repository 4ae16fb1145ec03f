"""Options of the commands that make datasets."""

from pathlib import Path

from .shared import Add, add_config, add_workers, folder, natural, positive, setting


def add_options(add: Add) -> None:
    added = add("corpus", "corpus --out data/corpus --clips 100 --seed 0")
    added.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the videos and corpus.csv")
    added.add_argument("--clips", type=positive, required=True, metavar="N", help="number of ten-second clips")
    added.add_argument("--seed", type=natural, default=0, metavar="S", help="decides every clip (default 0)")
    added.add_argument("--ffmpeg", default="", metavar="PATH", help="ffmpeg to encode with; default: imageio-ffmpeg's")
    add_workers(added, "processes (default: one a core)")

    added = add("shard", "shard --source videos/ --out data/shards")
    sources = (
        "folder of videos or of tars, one or more .tar, .tar.gz or .tgz, VGGSound's CSV, "
        "or a CSV with the header path,label,split,start,duration"
    )
    videos = "folder of <id>_<start>.mp4, loose or in tars, for VGGSound's CSV"
    added.add_argument(
        "--source", type=Path, action="extend", required=True, nargs="+", metavar="DIR_OR_CSV_OR_TAR", help=sources
    )
    added.add_argument("--videos", type=Path, metavar="DIR", help=videos)
    added.add_argument("--out", required=True, metavar="ROOT", help="folder of the dataset, or s3://, gs://, az://")
    work = "folder in which shards for a bucket are made (default: one below the user's cache folder)"
    added.add_argument("--work", type=folder, metavar="DIR", help=work)
    added.add_argument(
        "--clip-seconds", dest="set", action="append", default=[], type=setting("shard.clip_seconds"), metavar="S",
        help="longest clip; short for --set shard.clip_seconds=S",
    )  # fmt: skip
    added.add_argument(
        "--consecutive", dest="set", action="append_const", default=[], const="shard.consecutive=true",
        help="cut each video into clips that follow each other; short for --set shard.consecutive=true",
    )  # fmt: skip
    again = "try inputs that failed so again"
    added.add_argument("--retry", default=[], type=_codes, metavar="CODE[,CODE]", help=again)
    added.add_argument("--dry-run", action="store_true", help="print the plan, write nothing")
    added.add_argument("--strict", action="store_true", help="exit with 1 if any input failed")
    added.add_argument("--energon", action="store_true", help="write .nv-meta and *.tar.idx for Megatron Energon, too")
    added.add_argument("--dali", action="store_true", help="write __index__/dali/*.idx for NVIDIA DALI, too")
    add_workers(added, "ffmpeg processes at once (default: one a core)")
    add_config(added)


def _codes(text: str) -> list[str]:
    return text.split(",")
