"""A policy pack for Pulumi: access to Google Cloud stays small.

Nothing here is imported from outside this folder; imports within it are relative, so that neither
its place nor the name of what is around it matters.
"""

from typing import Final

NAME: Final = "gcp-access"
