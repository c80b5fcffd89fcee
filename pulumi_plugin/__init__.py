"""A Pulumi plugin in Python: a resource provider that the engine starts and talks gRPC with.

A provider is a `kinds.Plugin` with one `kinds.Kind` for each resource type; `server.serve` runs it.
Properties are plain values (`values`); `shapes` checks them against Pulumi's package schema and
makes the schema. What a resource type is, and whose API it calls, is the provider's business: this
package knows none.
"""
