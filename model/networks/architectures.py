"""Registry of the architectures and of what each offers; free of torch, so that a configuration is checked at once.

Another architecture is a file in this folder with its network, an entry here, and its name in
`ModelSettings.architecture`.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .network import CorrespondenceModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Declaration of an architecture, for the configuration and the model card."""

    network: str
    """Its class, as "file:Class"."""
    words: str
    """What it is, for the model card."""
    has_shared_space: bool = True
    """Whether images and sounds become vectors of one space, so that any two can be compared by distance."""
    localising: "Architecture | None" = None
    """The architecture of the same family that also says where in the frame the sound is: `model.localise`."""

    def load(self) -> "type[CorrespondenceModel]":
        """Return the network's class; imports torch."""
        file, _, name = self.network.partition(":")
        network: type[CorrespondenceModel] = getattr(import_module(f".{file}", __package__), name)
        return network


ARCHITECTURES = {
    "resnet18": Architecture(network="two_towers:TwoTowers", words="Two ResNet18 and a distance (Feng et al.)"),
    "l3net": Architecture(
        network="l3net:L3Net", words="L3-Net (Arandjelovic and Zisserman, 2017)", has_shared_space=False
    ),
    "avenet": Architecture(
        network="avenet:AveNet",
        words="AVE-Net (Arandjelovic and Zisserman, 2018)",
        localising=Architecture(
            network="avolnet:AvolNet", words="AVOL-Net (Arandjelovic and Zisserman, 2018)", has_shared_space=False
        ),
    ),
}
