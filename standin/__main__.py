"""Started by the engine through `pulumi-resource-gcp`, with the engine's address as argument."""

from pulumi_plugin.server import serve
from standin.gcp import Gcp

serve(Gcp)
