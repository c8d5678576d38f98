"""A placement made real: flags, daemons, manifests; engines that are kept up; what is kept apart."""

from offramp.enforce.catalogue import NAMES, backend_of, local_backend
from offramp.enforce.options import Options
from offramp.enforce.port import Capabilities, Emission, Level

__all__ = ["NAMES", "Capabilities", "Emission", "Level", "Options", "backend_of", "local_backend"]
