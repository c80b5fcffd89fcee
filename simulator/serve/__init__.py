"""The way in: a proxy on loopback, TLS, HTTP, one request through the cloud, control."""
