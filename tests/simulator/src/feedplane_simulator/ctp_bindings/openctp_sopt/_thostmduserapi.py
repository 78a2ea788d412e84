"""The compiled half of the binding, which is the futures binding's."""

import importlib
import importlib.util
import sys
from types import ModuleType

NAME = "openctp_ctp"

# Without what the package does on import: it would load the trading half, and its Python classes.
if NAME not in sys.modules:
    spec = importlib.util.find_spec(NAME)
    package = ModuleType(NAME)
    package.__path__ = list(spec.submodule_search_locations or ()) if spec else []
    sys.modules[NAME] = package
sys.modules[__name__] = importlib.import_module(f"{NAME}._thostmduserapi")
