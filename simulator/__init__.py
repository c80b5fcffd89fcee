"""Google Cloud on loopback: identity, IAM and the services the stack uses."""
