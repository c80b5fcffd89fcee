"""Our own Pulumi provider: what pulumi-gcp cannot declare."""
