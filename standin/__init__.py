"""Stand-in for the official `gcp` plugin, for machines that cannot download it.

It sends what the official plugin sends, method by method, to the same hosts through the same proxy
settings; it knows nothing of the simulated cloud.
"""
