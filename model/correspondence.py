"""From settings to a network."""

import torch

from .networks.avenet import AveNet
from .networks.avolnet import AvolNet
from .networks.l3net import L3Net
from .networks.network import CorrespondenceModel
from .networks.two_towers import TwoTowers
from .settings import ModelSettings

ARCHITECTURES: dict[str, type[CorrespondenceModel]] = {"resnet18": TwoTowers, "l3net": L3Net, "avenet": AveNet}


def make_model(settings: ModelSettings) -> CorrespondenceModel:
    """Return an untrained model on the current device; its initial weights depend on torch's global generator."""
    return AvolNet(settings) if settings.localise else ARCHITECTURES[settings.architecture](settings)


def build_model(settings: ModelSettings, seed: int) -> CorrespondenceModel:
    """Return a model on the CPU whose initial weights depend on settings and seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_model(settings)
