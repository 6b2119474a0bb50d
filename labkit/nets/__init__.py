"""Networks: the implicit surface and the appearance of UDR."""

from labkit.nets.appearance import APPEARANCES, Appearance
from labkit.nets.encoding import encode, encode_with_jacobian
from labkit.nets.sdf import SDFNet

__all__ = ["APPEARANCES", "Appearance", "SDFNet", "encode", "encode_with_jacobian"]
