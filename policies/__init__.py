"""The policy pack, in a folder that stands alone; see `PulumiPolicy.yaml`."""
