"""How parts are declared, found and described. Nothing here imports torch, nor a part before it is asked for."""

from genever.parts._catalog import Catalog, PluginReport, Registry
from genever.parts._hooks import hookimpl
from genever.parts._loading import load_catalog
from genever.parts._surface import BrokenPartError, Parameter, Surface, passed_on

__all__ = [
    "BrokenPartError",
    "Catalog",
    "Parameter",
    "PluginReport",
    "Registry",
    "Surface",
    "hookimpl",
    "load_catalog",
    "passed_on",
]
