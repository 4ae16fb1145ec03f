"""From settings to a network."""

import torch

from .networks.network import CorrespondenceModel
from .settings import ModelSettings


def make_model(settings: ModelSettings) -> CorrespondenceModel:
    """Return an untrained model on the current device; its initial weights depend on torch's global generator."""
    return settings.network.load()(settings)


def build_model(settings: ModelSettings, seed: int) -> CorrespondenceModel:
    """Return a model on the CPU whose initial weights depend on settings and seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_model(settings)
