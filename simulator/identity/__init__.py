"""Who calls: service accounts, keys, tokens, identity pools and what they federate."""
