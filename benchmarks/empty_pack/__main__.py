"""A pack that judges nothing: what the engine and Pulumi's SDK take for any pack."""

from pulumi_policy import PolicyPack, ResourceValidationPolicy

PolicyPack("empty", [ResourceValidationPolicy("nothing", "Judges nothing", lambda args, say: None)])
