"""Parts of the 3D networks."""

from torch import nn


def convolution_block(in_channels: int, out_channels: int, repeats: int) -> nn.Sequential:
    """``repeats`` times 3 x 3 x 3 convolution, batch norm and LeakyReLU.

    Batch norm, because HU are absolute: the statistics of a whole study then do not shift the
    features, and a study may be run in blocks of any size with the same result.
    """
    layers: list[nn.Module] = []
    for index in range(repeats):
        channels = in_channels if index == 0 else out_channels
        layers += [
            nn.Conv3d(channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm3d(out_channels, momentum=0.05),
            nn.LeakyReLU(0.01, inplace=True),
        ]
    return nn.Sequential(*layers)
