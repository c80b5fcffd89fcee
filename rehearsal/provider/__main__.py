"""Started by the engine through `pulumi-resource-gcp`, with the engine's address as argument."""

from providers.plugin import serve
from rehearsal.provider.gcp import Gcp

serve(Gcp())
