"""Batch normalisation over the whole batch of several processes."""

from typing import Any

import torch
from torch import Tensor, distributed, nn


class GatheredBatchNorm(nn.BatchNorm2d):
    """nn.BatchNorm2d whose statistics in training are those of all processes' items, on any device.

    torch's own SyncBatchNorm does the same, faster, on GPUs only. All processes hold equally many items.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the normalised features (B, C, H, W), in the format of the inputs."""
        if not self.training:
            return super().forward(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            features = inputs.float()
            count = features.numel() // features.shape[1] * distributed.get_world_size()
            mean = _Sum.apply(features.sum(dim=(0, 2, 3))) / count
            centred = features - mean[None, :, None, None]
            variance = _Sum.apply(centred.square().sum(dim=(0, 2, 3))) / count
            self._follow(mean.detach(), variance.detach() * count / max(count - 1, 1))
            scale = self.weight * (variance + self.eps).rsqrt()
            outputs = centred * scale[None, :, None, None] + self.bias[None, :, None, None]
        normalised: Tensor = outputs.to(inputs.dtype)
        return normalised

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, as nn.BatchNorm2d does."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum or 0.1)
        self.running_var.lerp_(variance, self.momentum or 0.1)


def synchronise(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network with batch normalisation over all processes in place of its own; weights are kept."""
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    for module in network.modules():
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                gathered = GatheredBatchNorm(child.num_features, child.eps, child.momentum)
                gathered.load_state_dict(child.state_dict())
                setattr(module, name, gathered)
    return network


class _Sum(torch.autograd.Function):
    """The sum over processes, whose gradient is the sum over processes, too: every loss depends on every item."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total
