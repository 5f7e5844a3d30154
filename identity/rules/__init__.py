"""What ``identity.yml`` says: namespaces, normalisers, names, limits, link rules; and the workspace's key."""
