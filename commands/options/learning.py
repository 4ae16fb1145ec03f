"""Options of the commands that train and measure."""

from pathlib import Path

from .shared import ROOT_HELP, Add, add_best, add_cache, add_config, add_overrides, add_workers, natural, positive


def add_options(add: Add) -> None:
    added = add("train", "train --shards data/shards --run runs/a --config vggsound")
    added.add_argument("--shards", required=True, metavar="ROOT", help=ROOT_HELP)
    add_cache(added)
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder for checkpoints and metrics")
    added.add_argument("--resume", action="store_true", help="go on from the newest checkpoint, if there is one")
    add_config(added)

    added = add("eval", "eval --run runs/a --shards data/shards --protocol full/mean10")
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of a trained run")
    added.add_argument("--shards", required=True, metavar="ROOT", help=ROOT_HELP)
    add_cache(added)
    add_best(added)
    protocol = "full, avenet, cavmae-1545, vggsounder or list, with /center or /mean10; short for eval.protocol"
    added.add_argument("--protocol", metavar="NAME", help=protocol)
    gallery = "evaluate the clips of a list, one id a line; short for eval.gallery, and alone for protocol list"
    added.add_argument("--gallery", type=Path, metavar="FILE", help=gallery)
    ontology = "AudioSet's ontology.json, for nDCG with AVE-Net's gain; short for eval.ontology"
    added.add_argument("--ontology", type=Path, metavar="FILE", help=ontology)
    add_overrides(added)

    added = add("probe", "probe --run runs/a --shards data/shards")
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of a trained run")
    what = added.add_mutually_exclusive_group(required=True)
    what.add_argument("--shards", metavar="ROOT", help="classify the clips of its splits; " + ROOT_HELP)
    what.add_argument("--esc50", type=Path, metavar="DIR", help="classify ESC-50's sounds, in its five folds")
    pooling = "an item's views: the one in its middle, or the mean of ten (default: center; mean10 with --esc50)"
    added.add_argument("--pooling", choices=["center", "mean10"], help=pooling)
    add_cache(added)
    add_best(added)
    add_overrides(added)

    added = add("compare", "compare runs/a runs/b")
    added.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of evaluated runs")
    added.add_argument("--json", action="store_true", help="print one JSON object")

    added = add("export", "export --run runs/a --onnx exported --shards data/shards")
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of a trained run")
    added.add_argument("--out", type=Path, metavar="DIR", help="folder for safetensors and card; default: RUN/model")
    added.add_argument("--onnx", type=Path, metavar="DIR", help="folder for image.onnx, audio.onnx and pair.onnx")
    added.add_argument("--torch", type=Path, metavar="DIR", help="folder for the same as torch.export programs")
    added.add_argument("--shards", metavar="ROOT", help="dataset on whose clips the exports are compared")
    add_cache(added)
    add_best(added)

    added = add("report", "report --run runs/a")
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of a trained run")

    added = add("demo", "demo --out data/demo")
    added.add_argument("--out", type=Path, default=Path("data/demo"), metavar="DIR", help="default: data/demo")
    added.add_argument("--clips", type=positive, default=800, metavar="N", help="clips to render (default 800)")
    added.add_argument("--seed", type=natural, default=0, metavar="S", help="seed of the corpus (default 0)")
    add_overrides(added)
    add_workers(added, "processes for rendering and sharding (default: one a core)")
