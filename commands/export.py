"""Write a model for others: safetensors with a card, ONNX, torch.export."""

from typing import Any

import avcorr

from .options import Parser, add_best, add_cache, folder, opened


def add_options(added: Parser) -> None:
    added.add_argument("--run", type=folder, required=True, metavar="RUN", help="folder of a trained run")
    added.add_argument("--out", type=folder, metavar="DIR", help="folder for safetensors and card; default: RUN/model")
    added.add_argument("--onnx", type=folder, metavar="DIR", help="folder for image.onnx, audio.onnx and pair.onnx")
    programs = "folder for the same as torch.export programs"
    added.add_argument("--torch", dest="programs", type=folder, metavar="DIR", help=programs)
    added.add_argument("--shards", metavar="ROOT", help="dataset on whose clips the exports are compared")
    add_cache(added)
    add_best(added)


def run(**options: Any) -> None:
    done = avcorr.export(**opened(options))
    print(f"{done.weights}: weights, configuration and card of step {done.step}")
    for path, difference in done.differences.items():
        print(f"{path}: differs from the model by {difference:.1g} at most on {done.compared_on}")
